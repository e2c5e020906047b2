using System.Text.Json;
using BitLab.Core;

namespace BitLab.Inference;

/// <summary>Reads Hugging Face's tokenizer.json, and what tokenizer_config.json and chat_template.jinja beside it add.</summary>
/// <remarks>Byte-level BPE: the form of GPT-2, Llama 3, Falcon 3 and BitNet. Other kinds are refused with what they are.</remarks>
internal static class TokenizerJson
{
    public static BitNetTokenizer Load(string path) => JsonFile.Read(path, root => Read(root, path));

    private static BitNetTokenizer Read(JsonElement root, string path)
    {
        string source = $"'{path}'", folder = Path.GetDirectoryName(path) ?? "";
        try
        {
            JsonElement model = Object(root, "model", source);
            if (Text(model, "type") is string type && type != "BPE")
                throw new InvalidDataException($"{source}: its model is {type}; BitLab reads BPE.");
            if (Flag(model, "byte_fallback") || Property(root, "normalizer") is not null)
                throw new InvalidDataException($"{source}: its BPE is of characters, not of bytes, or normalizes text; BitLab reads byte-level BPE.");
            Dictionary<string, (int Number, bool IsSpecial)> added = Added(root);
            (bool? addsBegin, string? beginName, string? template) = TokenizerConfig.Read(folder);
            int? begin = PostProcessedBegin(root)
                ?? (addsBegin == true && beginName is not null && added.TryGetValue(beginName, out (int Number, bool) token) ? token.Number : null);
            return new Vocabulary
            {
                Tokens = Tokens(Object(model, "vocab", source)),
                Merges = Merges(model, source),
                Splitter = new WordSplitter(Steps(Property(root, "pre_tokenizer"), source)),
                Added = added,
                IgnoresMerges = Flag(model, "ignore_merges"),
                BeginOfText = addsBegin == false ? null : begin,
                ChatTemplate = template,
            }.Build(source);
        }
        catch (Exception e) when (e is InvalidOperationException or FormatException or ArgumentException or KeyNotFoundException or IndexOutOfRangeException)
        {
            throw new InvalidDataException($"{source} is no tokenizer that BitLab reads: {e.Message}", e);
        }
    }

    /// <summary>The splitter alone.</summary>
    internal static WordSplitter SplitterOf(string path) =>
        JsonFile.Read(path, root => new WordSplitter(Steps(Property(root, "pre_tokenizer"), $"'{path}'")));

    private static Dictionary<string, int> Tokens(JsonElement vocabulary)
    {
        var tokens = new Dictionary<string, int>(vocabulary.GetPropertyCount(), StringComparer.Ordinal);
        foreach (JsonProperty token in vocabulary.EnumerateObject())
            tokens[token.Name] = token.Value.GetInt32();
        return tokens;
    }

    // "a b", or since version 0.20 of the tokenizers library ["a", "b"].
    private static List<string> Merges(JsonElement model, string source)
    {
        if (Property(model, "merges") is not JsonElement merges)
            throw new InvalidDataException($"{source}: its model has no merges.");
        var pairs = new List<string>(merges.GetArrayLength());
        foreach (JsonElement merge in merges.EnumerateArray())
        {
            pairs.Add(merge.ValueKind == JsonValueKind.Array
                ? $"{merge[0].GetString()} {merge[1].GetString()}"
                : merge.GetString()!);
        }
        return pairs;
    }

    private static Dictionary<string, (int Number, bool IsSpecial)> Added(JsonElement root)
    {
        var added = new Dictionary<string, (int, bool)>(StringComparer.Ordinal);
        if (Property(root, "added_tokens") is JsonElement list)
        {
            foreach (JsonElement token in list.EnumerateArray())
            {
                if (Text(token, "content") is { Length: > 0 } content)
                    added[content] = (token.GetProperty("id").GetInt32(), Flag(token, "special"));
            }
        }
        return added;
    }

    // The special token that a template puts before a single text.
    private static int? PostProcessedBegin(JsonElement root)
    {
        if (Property(root, "post_processor") is not JsonElement processor)
            return null;
        IEnumerable<JsonElement> parts = Property(processor, "processors") is JsonElement list ? list.EnumerateArray() : [processor];
        foreach (JsonElement part in parts)
        {
            if (Text(part, "type") != "TemplateProcessing" || Property(part, "single") is not JsonElement single || single.GetArrayLength() == 0
                || Property(single[0], "SpecialToken") is not JsonElement special || Text(special, "id") is not string id)
                continue;
            return part.GetProperty("special_tokens").GetProperty(id).GetProperty("ids")[0].GetInt32();
        }
        return null;
    }

    private static List<WordSplitter.Step> Steps(JsonElement? element, string source)
    {
        var steps = new List<WordSplitter.Step>();
        if (element is not JsonElement splitter)
            return steps;
        switch (Text(splitter, "type"))
        {
            case "Sequence":
                foreach (JsonElement part in splitter.GetProperty("pretokenizers").EnumerateArray())
                    steps.AddRange(Steps(part, source));
                break;
            case "ByteLevel":
                if (Flag(splitter, "add_prefix_space"))
                    throw new InvalidDataException($"{source}: it adds a space before texts, which BitLab does not.");
                if (Property(splitter, "use_regex") is not { ValueKind: JsonValueKind.False })
                    steps.Add(WordSplitter.Step.Of(WordSplitter.Gpt2Pattern, WordSplitter.Matches.Isolated));
                break;
            case "Split":
                if (Flag(splitter, "invert"))
                    throw new InvalidDataException($"{source}: it splits by what a pattern does not match, which BitLab does not.");
                JsonElement pattern = splitter.GetProperty("pattern");
                string expression = Text(pattern, "Regex") ?? System.Text.RegularExpressions.Regex.Escape(pattern.GetProperty("String").GetString()!);
                steps.Add(WordSplitter.Step.Of(expression, MatchesOf(Text(splitter, "behavior"), source)));
                break;
            case "Digits":
                string digits = Flag(splitter, "individual_digits") ? @"\p{N}" : @"\p{N}+";
                steps.Add(WordSplitter.Step.Of(digits, WordSplitter.Matches.Isolated));
                break;
            case "Punctuation":
                steps.Add(WordSplitter.Step.Of(@"[\p{P}$+<=>^`|~]", MatchesOf(Text(splitter, "behavior"), source)));
                break;
            case string other:
                throw new InvalidDataException($"{source}: its pre-tokenizer is {other}; BitLab reads Split, ByteLevel, Digits and Punctuation.");
        }
        return steps;
    }

    private static WordSplitter.Matches MatchesOf(string? behavior, string source) => behavior switch
    {
        null or "Isolated" => WordSplitter.Matches.Isolated,
        "Contiguous" => WordSplitter.Matches.Contiguous,
        "Removed" => WordSplitter.Matches.Removed,
        "MergedWithPrevious" => WordSplitter.Matches.MergedWithPrevious,
        "MergedWithNext" => WordSplitter.Matches.MergedWithNext,
        _ => throw new InvalidDataException($"{source}: its pre-tokenizer does '{behavior}', which BitLab does not know."),
    };

    private static JsonElement Object(JsonElement element, string name, string source) =>
        Property(element, name) is { ValueKind: JsonValueKind.Object } value
            ? value
            : throw new InvalidDataException($"{source} has no object '{name}'.");

    private static JsonElement? Property(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null
            ? value
            : null;

    private static string? Text(JsonElement element, string name) => Property(element, name)?.GetString();

    private static bool Flag(JsonElement element, string name) => Property(element, name) is { ValueKind: JsonValueKind.True };
}
