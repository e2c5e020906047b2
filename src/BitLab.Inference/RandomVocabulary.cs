using System.Text.Json;
using BitLab.Core;

namespace BitLab.Inference;

/// <summary>A tokenizer.json for models of random weights: a token for each byte, and words of letters for all others, which no
/// text is cut into but which generated text consists of.</summary>
internal static class RandomVocabulary
{
    public const string FileName = "tokenizer.json";

    private const int Bytes = 256, Letters = 26;

    /// <summary>Whether a vocabulary has room for all bytes and for the tokens that begin and end texts and turns.</summary>
    public static bool Fits(BitNetConfig config) =>
        config.VocabSize >= Bytes + 3 && config.BosTokenId >= Bytes && config.EosTokenIds.Count > 0
        && config.EosTokenIds.All(token => token >= Bytes && token < config.VocabSize) && config.BosTokenId < config.VocabSize;

    public static void Write(Stream stream, BitNetConfig config)
    {
        using var writer = new Utf8JsonWriter(stream);
        Dictionary<int, string> special = Special(config);
        writer.WriteStartObject();
        writer.WriteStartArray("added_tokens");
        foreach ((int number, string content) in special)
        {
            writer.WriteStartObject();
            writer.WriteNumber("id", number);
            writer.WriteString("content", content);
            writer.WriteBoolean("special", true);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WritePropertyName("pre_tokenizer");
        writer.WriteRawValue("""{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}""");
        WriteBegin(writer, special[config.BosTokenId!.Value], config.BosTokenId.Value);
        writer.WriteStartObject("model");
        writer.WriteString("type", "BPE");
        writer.WriteStartObject("vocab");
        for (int number = 0; number < config.VocabSize; number++)
        {
            if (!special.ContainsKey(number))
                writer.WriteNumber(number < Bytes ? ByteAlphabet.CharacterOf((byte)number).ToString() : Word(number), number);
        }
        writer.WriteEndObject();
        writer.WriteStartArray("merges");
        writer.WriteEndArray();
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    private static Dictionary<int, string> Special(BitNetConfig config)
    {
        const int Llama3EndOfTurn = 128009;
        var special = new Dictionary<int, string> { [config.BosTokenId!.Value] = "<|begin_of_text|>" };
        foreach (int token in config.EosTokenIds)
            special.TryAdd(token, special.ContainsValue("<|end_of_text|>") ? $"<|end_{token}|>" : "<|end_of_text|>");
        int turn = config.VocabSize > Llama3EndOfTurn ? Llama3EndOfTurn : config.VocabSize - 1;
        while (special.ContainsKey(turn) && turn > Bytes)
            turn--;
        special.TryAdd(turn, "<|eot_id|>");
        return special;
    }

    private static void WriteBegin(Utf8JsonWriter writer, string content, int number)
    {
        writer.WriteStartObject("post_processor");
        writer.WriteString("type", "TemplateProcessing");
        writer.WriteStartArray("single");
        writer.WriteStartObject();
        writer.WriteStartObject("SpecialToken");
        writer.WriteString("id", content);
        writer.WriteEndObject();
        writer.WriteEndObject();
        writer.WriteEndArray();
        writer.WriteStartObject("special_tokens");
        writer.WriteStartObject(content);
        writer.WriteStartArray("ids");
        writer.WriteNumberValue(number);
        writer.WriteEndArray();
        writer.WriteEndObject();
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    // A space and the number in letters.
    private static string Word(int number)
    {
        string letters = "";
        for (int rest = number; rest > 0; rest /= Letters)
            letters = (char)('a' + (rest % Letters)) + letters;
        return ByteAlphabet.CharacterOf((byte)' ') + letters;
    }
}
