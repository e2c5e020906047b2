using System.Text.Json;

namespace BitLab.Inference.Tests;

/// <summary>A tokenizer.json written by hand: all bytes, some merges, four special tokens.</summary>
internal static class TinyVocabulary
{
    public const int Begin = 280, End = 281, EndOfTurn = 282, Size = 284;

    // Space is Ġ; é is the bytes C3 A9, written Ã and ©.
    public static readonly string[] Merges = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "l d", "Ġwor ld", "Ã ©", "Ġ t", "Ġt h", "Ġth e"];

    public static string Json(bool ignoreMerges = false, string? splitter = null) => JsonSerializer.Serialize(new
    {
        version = "1.0",
        added_tokens = new[]
        {
            new { id = Begin, content = "<|begin_of_text|>", special = true },
            new { id = End, content = "<|end_of_text|>", special = true },
            new { id = EndOfTurn, content = "<|eot_id|>", special = true },
            new { id = 283, content = "<note>", special = false },
        },
        normalizer = (object?)null,
        pre_tokenizer = JsonDocument.Parse(splitter ?? """{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}""").RootElement,
        post_processor = JsonDocument.Parse("""
            {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|begin_of_text|>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
             "special_tokens":{"<|begin_of_text|>":{"id":"<|begin_of_text|>","ids":[280],"tokens":["<|begin_of_text|>"]}}}
            """).RootElement,
        model = new { type = "BPE", ignore_merges = ignoreMerges, vocab = Tokens(), merges = Merges },
    });

    public static Dictionary<string, int> Tokens()
    {
        var tokens = new Dictionary<string, int>();
        for (int value = 0; value < 256; value++)
            tokens[ByteAlphabet.CharacterOf((byte)value).ToString()] = value;
        foreach (string merge in Merges)
            tokens[merge.Replace(" ", "", StringComparison.Ordinal)] = tokens.Count;
        // No merges lead to this one.
        tokens["xyz"] = tokens.Count;
        return tokens;
    }

    public static void WriteTo(string folder) => File.WriteAllText(Path.Combine(folder, "tokenizer.json"), Json());
}
