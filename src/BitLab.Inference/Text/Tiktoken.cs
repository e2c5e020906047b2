using System.Buffers.Text;
using System.Text;
using Microsoft.ML.Tokenizers;

namespace BitLab.Inference;

/// <summary>Reads a vocabulary of tiktoken's form: lines of a token's bytes in base 64 and its rank. Words are those of Llama 3, and
/// so are the special tokens behind the last rank where a file has its 128,000.</summary>
internal static class Tiktoken
{
    private const int Llama3Ranks = 128000;
    private const long MaxFileBytes = 1 << 28;

    public static BitNetTokenizer Load(string path)
    {
        byte[][] bytes = Read(path);
        Dictionary<string, (int Number, bool IsSpecial)> added = bytes.Length == Llama3Ranks ? Llama3Special() : [];
        WordSplitter splitter = WordSplitter.Of(WordSplitter.Llama3Pattern);
        using FileStream stream = File.OpenRead(path);
        TiktokenTokenizer pairs = TiktokenTokenizer.Create(stream, splitter, normalizer: null);
        (bool? addsBegin, string? beginName, string? template) = TokenizerConfig.Read(Path.GetDirectoryName(path) ?? "");
        int? begin = added.TryGetValue(beginName ?? "<|begin_of_text|>", out (int Number, bool) token) ? token.Number : null;
        byte[]?[] all = new byte[bytes.Length + added.Count][];
        bytes.CopyTo(all, 0);
        return new BitNetTokenizer(pairs, splitter, null, all, new AddedTokens(added))
        {
            BeginOfText = addsBegin == false ? null : begin,
            ChatTemplate = template,
        };
    }

    private static byte[][] Read(string path)
    {
        if (new FileInfo(path).Length > MaxFileBytes)
            throw new InvalidDataException($"'{path}' is too long for a vocabulary.");
        var tokens = new List<byte[]>();
        int lineNumber = 0;
        foreach (string line in File.ReadLines(path, Encoding.Latin1))
        {
            lineNumber++;
            if (line.Length == 0)
                continue;
            int space = line.IndexOf(' ');
            if (space < 1 || !Base64.IsValid(line.AsSpan(0, space)) || !int.TryParse(line.AsSpan(space + 1), out int rank)
                || rank != tokens.Count)
            {
                throw new InvalidDataException(
                    $"'{path}' is no vocabulary of tiktoken's form: line {lineNumber} is not a token in base 64 and the rank {tokens.Count}.");
            }
            tokens.Add(Convert.FromBase64String(line[..space]));
        }
        return [.. tokens];
    }

    private static Dictionary<string, (int Number, bool IsSpecial)> Llama3Special()
    {
        const int Count = 256;
        string[] named =
        [
            "<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
            "<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>",
            "<|python_tag|>",
        ];
        var special = new Dictionary<string, (int, bool)>(StringComparer.Ordinal);
        for (int i = 0; i < Count; i++)
            special[i < named.Length ? named[i] : $"<|reserved_special_token_{i - named.Length + 2}|>"] = (Llama3Ranks + i, true);
        return special;
    }
}
