using BitLab.Core;

namespace BitLab.Inference.Tests;

public sealed class GgufVocabularyTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("bitlab-gguf-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void The_vocabulary_of_a_gguf_file_is_that_of_the_json_file()
    {
        TinyVocabulary.WriteTo(folder);
        BitNetTokenizer json = BitNetTokenizer.Load(folder), gguf = BitNetTokenizer.Load(Write());
        foreach (string text in (string[])["hello world", "the é 👩 xyz", "", "a<|eot_id|><note>"])
        {
            Assert.Equal(json.Encode(text), gguf.Encode(text));
            Assert.Equal(json.Encode(text, allowSpecial: true), gguf.Encode(text, allowSpecial: true));
            Assert.Equal(text, gguf.Decode(gguf.Encode(text)));
        }
        Assert.Equal("TEMPLATE", gguf.ChatTemplate);
    }

    [Theory]
    [InlineData("tokenizer.ggml.model", "llama")]
    [InlineData("tokenizer.ggml.pre", "deepseek")]
    [InlineData("tokenizer.ggml.merges", "none")]
    public void What_is_not_read_is_named(string key, string value) =>
        Assert.Contains(key, Assert.Throws<InvalidDataException>(() => BitNetTokenizer.Load(Write((key, GgufValue.Of(value))))).Message, StringComparison.Ordinal);

    private string Write(params (string Key, GgufValue Value)[] changed)
    {
        string[] tokens = new string[TinyVocabulary.Size];
        int[] types = new int[tokens.Length];
        Array.Fill(types, 1);
        Array.Fill(tokens, "");
        foreach ((string token, int number) in TinyVocabulary.Tokens())
            tokens[number] = token;
        (string Content, int Type)[] added = [("<|begin_of_text|>", 3), ("<|end_of_text|>", 3), ("<|eot_id|>", 3), ("<note>", 4)];
        for (int i = 0; i < added.Length; i++)
            (tokens[TinyVocabulary.Begin + i], types[TinyVocabulary.Begin + i]) = added[i];
        // Numbers without a token.
        for (int i = 0; i < tokens.Length; i++)
            tokens[i] = tokens[i].Length == 0 ? $"[unused{i}]" : tokens[i];
        var metadata = new Dictionary<string, GgufValue>
        {
            ["general.architecture"] = GgufValue.Of("bitnet-b1.58"),
            ["tokenizer.ggml.model"] = GgufValue.Of("gpt2"),
            ["tokenizer.ggml.pre"] = GgufValue.Of("gpt-2"),
            ["tokenizer.ggml.tokens"] = GgufValue.Array(tokens),
            ["tokenizer.ggml.merges"] = GgufValue.Array(TinyVocabulary.Merges),
            ["tokenizer.ggml.token_type"] = GgufValue.Array<int>(GgufValueType.Int32, types),
            ["tokenizer.ggml.bos_token_id"] = GgufValue.Of((uint)TinyVocabulary.Begin),
            ["tokenizer.ggml.add_bos_token"] = GgufValue.Of(true),
            ["tokenizer.chat_template"] = GgufValue.Of("TEMPLATE"),
        };
        foreach ((string key, GgufValue value) in changed)
            metadata[key] = value;
        string path = Path.Combine(folder, "model.gguf");
        GgufWriter.Write(path, [.. metadata], []);
        return path;
    }
}
