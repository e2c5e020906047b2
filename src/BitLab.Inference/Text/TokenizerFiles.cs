using BitLab.Core;

namespace BitLab.Inference;

/// <summary>Finds a model's tokenizer.</summary>
internal static class TokenizerFiles
{
    public static BitNetTokenizer Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (File.Exists(path))
        {
            return Path.GetExtension(path).ToLowerInvariant() switch
            {
                ".json" => TokenizerJson.Load(path),
                ".gguf" => GgufVocabulary.Load(path),
                ".model" or ".tiktoken" => Tiktoken.Load(path),
                _ => throw new InvalidDataException($"'{path}' is no tokenizer that BitLab reads: tokenizer.json, tiktoken, GGUF."),
            };
        }
        string json = Path.Combine(path, "tokenizer.json");
        if (File.Exists(json))
            return TokenizerJson.Load(json);
        // In folders that were converted from a GGUF file.
        string gguf = Path.Combine(path, BitNetConverter.TokenizerFile);
        if (File.Exists(gguf))
            return GgufVocabulary.Load(gguf);
        string? ranks = Directory.Exists(path)
            ? Directory.EnumerateFiles(path, "*.tiktoken").Concat(Directory.EnumerateFiles(path, "tokenizer.model"))
                .Order(StringComparer.Ordinal).FirstOrDefault()
            : null;
        return ranks is not null
            ? Tiktoken.Load(ranks)
            : throw new FileNotFoundException($"'{path}' has no tokenizer.json, {BitNetConverter.TokenizerFile}, tokenizer.model or *.tiktoken.");
    }
}
