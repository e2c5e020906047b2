using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace BitLab.Core;

/// <summary>A folder's tokenizer.json as the metadata of a GGUF file, for byte-pair vocabularies: those on bytes (<c>gpt2</c>) and those of
/// SentencePiece's kind (<c>llama</c>).</summary>
internal static class GgufTokenizer
{
    private const string Prefix = "tokenizer.ggml.";

    // llama.cpp's kinds of tokens.
    private const int Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6;

    /// <summary>The metadata, or none where there is no tokenizer.json or it is of another kind, of which a warning is traced.</summary>
    /// <exception cref="InvalidDataException">The file is damaged, or has more tokens than the model.</exception>
    public static List<KeyValuePair<string, GgufValue>> FromFolder(string folder, BitNetConfig config)
    {
        string path = Path.Combine(folder, "tokenizer.json");
        if (!File.Exists(path))
            return [];
        List<KeyValuePair<string, GgufValue>> values = JsonFile.Read(path, root => FromJson(root, path, config));
        string settings = Path.Combine(folder, "tokenizer_config.json"), template = Path.Combine(folder, "chat_template.jinja");
        if (values.Count > 0 && File.Exists(settings))
            JsonFile.Read(settings, root => AddSettings(values, root));
        if (values.Count > 0 && File.Exists(template))
        {
            values.RemoveAll(value => value.Key == TemplateKey);
            values.Add(new(TemplateKey, GgufValue.Of(File.ReadAllText(template))));
        }
        return values;
    }

    private const string TemplateKey = "tokenizer.chat_template";

    private static List<KeyValuePair<string, GgufValue>> FromJson(JsonElement root, string path, BitNetConfig config)
    {
        if (!root.TryGetProperty("model", out JsonElement model) || model.ValueKind != JsonValueKind.Object
            || Text(model, "type") is not (null or "BPE")
            || !model.TryGetProperty("vocab", out JsonElement vocabulary) || vocabulary.ValueKind != JsonValueKind.Object
            || !model.TryGetProperty("merges", out JsonElement mergeList) || mergeList.ValueKind != JsonValueKind.Array)
        {
            Trace.TraceWarning($"'{path}' is no byte-pair vocabulary; the GGUF file has no tokenizer.");
            return [];
        }
        bool isSentencePiece = Flag(model, "byte_fallback");
        string[] tokens = [.. Enumerable.Range(0, config.VocabSize).Select(i => $"[PAD{i}]")];
        int[] types = new int[tokens.Length];
        Array.Fill(types, Unused);
        foreach (JsonProperty token in vocabulary.EnumerateObject())
            Put(token.Name, token.Value, isSentencePiece && IsByte(token.Name) ? Byte : Normal);
        string? unknown = Text(model, "unk_token");
        if (root.TryGetProperty("added_tokens", out JsonElement added) && added.ValueKind == JsonValueKind.Array)
        {
            foreach (JsonElement token in added.EnumerateArray())
            {
                if (Text(token, "content") is string content && token.TryGetProperty("id", out JsonElement id))
                    Put(content, id, content == unknown ? Unknown : Flag(token, "special") ? Control : UserDefined);
            }
        }
        string[] merges = [.. mergeList.EnumerateArray().Select(merge => Merge(merge, path))];
        var values = new List<KeyValuePair<string, GgufValue>>();
        Add("model", GgufValue.Of(isSentencePiece ? "llama" : "gpt2"));
        if (!isSentencePiece && PreTokenizerOf(root) is string pre)
            Add("pre", GgufValue.Of(pre));
        Add("tokens", GgufValue.Array(tokens));
        Add("scores", GgufValue.Array<float>(GgufValueType.Float32, isSentencePiece ? Scores(tokens, merges) : new float[tokens.Length]));
        Add("token_type", GgufValue.Array<int>(GgufValueType.Int32, types));
        if (!isSentencePiece)
            Add("merges", GgufValue.Array(merges));
        return values;

        void Add(string key, GgufValue value) => values.Add(new(Prefix + key, value));

        void Put(string content, JsonElement id, int type)
        {
            if (id.ValueKind != JsonValueKind.Number || !id.TryGetInt32(out int number) || number < 0 || number >= tokens.Length)
            {
                throw new InvalidDataException(
                    $"'{path}': token '{content}' has the number {id.GetRawText()}; the model has {tokens.Length}.");
            }
            (tokens[number], types[number]) = (content, type);
        }
    }

    // SentencePiece joins first what has the highest score: what was merged first. Tokens that no merge makes come before all.
    private static float[] Scores(string[] tokens, string[] merges)
    {
        var ranks = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int rank = 0; rank < merges.Length; rank++)
            ranks.TryAdd(merges[rank].Replace(" ", "", StringComparison.Ordinal), rank + 1);
        return [.. tokens.Select(token => -(float)ranks.GetValueOrDefault(token))];
    }

    // How llama.cpp calls a way to cut texts into words, where it can be told; else it takes its default.
    private static string? PreTokenizerOf(JsonElement root)
    {
        if (!root.TryGetProperty("pre_tokenizer", out JsonElement pre) || pre.ValueKind != JsonValueKind.Object)
            return null;
        string text = pre.GetRawText();
        if (text.Contains(@"\\p{N}{1,3}", StringComparison.Ordinal))
            return "llama-bpe";
        return Text(pre, "type") == "ByteLevel"
            && (!pre.TryGetProperty("use_regex", out JsonElement regex) || regex.ValueKind == JsonValueKind.True)
            ? "gpt-2"
            : null;
    }

    private static bool AddSettings(List<KeyValuePair<string, GgufValue>> values, JsonElement root)
    {
        foreach (string flag in (string[])["add_bos_token", "add_eos_token"])
        {
            if (root.TryGetProperty(flag, out JsonElement value) && value.ValueKind is JsonValueKind.True or JsonValueKind.False)
                values.Add(new(Prefix + flag, GgufValue.Of(value.GetBoolean())));
        }
        if (Text(root, "chat_template") is string template)
            values.Add(new(TemplateKey, GgufValue.Of(template)));
        return true;
    }

    // "a b", or in newer files ["a", "b"], where a token may hold spaces: those become the letter that stands for them in vocabularies on
    // bytes, as llama.cpp's converter has it.
    private static string Merge(JsonElement merge, string path) => merge.ValueKind switch
    {
        JsonValueKind.String => merge.GetString()!,
        JsonValueKind.Array when merge.GetArrayLength() == 2 && merge.EnumerateArray().All(half => half.ValueKind == JsonValueKind.String) =>
            string.Join(' ', merge.EnumerateArray().Select(half => half.GetString()!.Replace(' ', 'Ġ'))),
        _ => throw new InvalidDataException($"'{path}' has the merge {merge.GetRawText()}, which joins no two tokens."),
    };

    private static bool IsByte(string token) =>
        token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
        && byte.TryParse(token.AsSpan(3, 2), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out _);

    private static string? Text(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;

    private static bool Flag(JsonElement element, string name) =>
        element.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.True;
}
