using BitLab.Core;

namespace BitLab.Inference;

/// <summary>Reads the vocabulary that a GGUF file carries.</summary>
internal static class GgufVocabulary
{
    private const string Prefix = "tokenizer.ggml.";
    private const string TokensKey = Prefix + "tokens", MergesKey = Prefix + "merges", TypesKey = Prefix + "token_type";

    // llama.cpp's numbers of what a token is.
    private const int Control = 3, UserDefined = 4;

    public static BitNetTokenizer Load(string path)
    {
        using GgufFile file = GgufFile.Open(path);
        return Read(file);
    }

    public static BitNetTokenizer Read(GgufFile file)
    {
        string source = $"'{file.Path}'";
        var fields = new GgufFields(file);
        string? model = fields.Text(Prefix + "model");
        if (model != "gpt2")
            throw fields.Bad(Prefix + "model", "gpt2, that is byte-level BPE");
        string[] tokens = Strings(file, TokensKey, fields);
        int[] types = file.Metadata.TryGetValue(TypesKey, out GgufValue? value) ? Types(value, fields) : new int[tokens.Length];
        if (types.Length != tokens.Length)
            throw fields.Bad(TypesKey, $"one for each of the {tokens.Length} tokens");
        var words = new Dictionary<string, int>(tokens.Length, StringComparer.Ordinal);
        var added = new Dictionary<string, (int, bool)>(StringComparer.Ordinal);
        for (int i = 0; i < tokens.Length; i++)
        {
            if (types[i] is Control or UserDefined && tokens[i].Length > 0)
                added[tokens[i]] = (i, types[i] == Control);
            else
                words[tokens[i]] = i;
        }
        int? begin = fields.Token(Prefix + "bos_token_id");
        bool addsBegin = !file.Metadata.TryGetValue(Prefix + "add_bos_token", out GgufValue? adds)
            || (adds.Type == GgufValueType.Bool ? adds.AsBool() : throw fields.Bad(Prefix + "add_bos_token", "true or false"));
        return new Vocabulary
        {
            Tokens = words,
            Merges = Strings(file, MergesKey, fields),
            Splitter = WordSplitter.Of(Pattern(fields)),
            Added = added,
            IgnoresMerges = IsLlama3(fields.Text(Prefix + "pre")),
            BeginOfText = addsBegin && begin < tokens.Length ? begin : null,
            ChatTemplate = fields.Text("tokenizer.chat_template"),
        }.Build(source);
    }

    // BitNet's own files name no way of splitting; its vocabulary is Llama 3's.
    private static bool IsLlama3(string? name) => name is null or "llama-bpe" or "llama3" or "llama-v3" or "falcon3";

    private static string Pattern(GgufFields fields)
    {
        const string Key = Prefix + "pre";
        string? name = fields.Text(Key);
        return IsLlama3(name) ? WordSplitter.Llama3Pattern
            : name is "gpt-2" or "default" ? WordSplitter.Gpt2Pattern
            : throw fields.Bad(Key, "llama-bpe, llama3, falcon3, gpt-2 or default");
    }

    private static string[] Strings(GgufFile file, string key, GgufFields fields) =>
        file.Metadata.TryGetValue(key, out GgufValue? value) && value.Type == GgufValueType.Array && value.ElementType == GgufValueType.String
            ? value.AsStrings()
            : throw fields.Bad(key, "an array of strings");

    private static int[] Types(GgufValue value, GgufFields fields) =>
        value.Type == GgufValueType.Array && value.ElementType is GgufValueType.Int32 or GgufValueType.UInt32
            ? value.AsArray<int>()
            : throw fields.Bad(TypesKey, "an array of whole numbers");
}
