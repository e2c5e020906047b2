using System.Text;
using CsCheck;

namespace BitLab.Inference.Tests;

public sealed class BitNetTokenizerTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("bitlab-tokenizer-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Pairs_are_merged_in_their_order()
    {
        BitNetTokenizer tokenizer = Load(TinyVocabulary.Json());
        Dictionary<string, int> tokens = TinyVocabulary.Tokens();
        Assert.Equal(
            [TinyVocabulary.Begin, tokens["hello"], tokens["Ġworld"], tokens["!"]], tokenizer.Encode("hello world!"));
        Assert.Equal([tokens["he"], tokens["l"]], tokenizer.Encode("hel", addBeginOfText: false));
        Assert.Equal([tokens["Ã©"], 't'], Bytes(tokenizer, "ét"));
        Assert.Empty(tokenizer.Encode("", addBeginOfText: false));
    }

    [Fact]
    public void Any_text_comes_back()
    {
        BitNetTokenizer tokenizer = Load(TinyVocabulary.Json());
        Gen.String.Sample(text =>
        {
            // Half of a surrogate pair is no text.
            string valid = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
            Assert.Equal(valid, tokenizer.Decode(tokenizer.Encode(valid)));
        });
        Assert.Equal("  hello\n\t👩‍🚀 the <note> <|eot_id|>", tokenizer.Decode(tokenizer.Encode("  hello\n\t👩‍🚀 the <note> <|eot_id|>")));
    }

    [Fact]
    public void Special_tokens_in_a_text_are_plain_text_unless_they_are_allowed()
    {
        BitNetTokenizer tokenizer = Load(TinyVocabulary.Json());
        const string Text = "a<|eot_id|><note>b";
        Assert.Equal(['a', TinyVocabulary.EndOfTurn, 283, 'b'], Bytes(tokenizer, Text, allowSpecial: true));
        IReadOnlyList<int> plain = Bytes(tokenizer, Text);
        Assert.DoesNotContain(TinyVocabulary.EndOfTurn, plain);
        Assert.Contains(283, plain);
        Assert.Equal(Text, tokenizer.Decode(plain));
        Assert.Equal("ab", tokenizer.Decode([97, TinyVocabulary.EndOfTurn, 98, 99_999, -1]));
        Assert.Equal(TinyVocabulary.End, tokenizer.SpecialToken("<|end_of_text|>"));
        Assert.Null(tokenizer.SpecialToken("<|none|>"));
    }

    [Fact]
    public void A_word_that_is_a_token_may_need_no_merges()
    {
        int whole = TinyVocabulary.Tokens()["xyz"];
        Assert.Equal(['x', 'y', 'z'], Bytes(Load(TinyVocabulary.Json()), "xyz"));
        Assert.Equal([whole], Bytes(Load(TinyVocabulary.Json(ignoreMerges: true)), "xyz"));
    }

    [Theory]
    [InlineData("a12b", """{"type":"Digits","individual_digits":true}""", "a|1|2|b")]
    [InlineData("a12b", """{"type":"Digits","individual_digits":false}""", "a|12|b")]
    [InlineData("a--b", """{"type":"Split","pattern":{"String":"-"},"behavior":"Isolated","invert":false}""", "a|-|-|b")]
    [InlineData("a--b", """{"type":"Split","pattern":{"String":"-"},"behavior":"Contiguous","invert":false}""", "a|--|b")]
    [InlineData("a--b", """{"type":"Split","pattern":{"String":"-"},"behavior":"Removed","invert":false}""", "a|b")]
    [InlineData("a--b", """{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithPrevious","invert":false}""", "a-|-|b")]
    [InlineData("a--b", """{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithNext","invert":false}""", "a|-|-b")]
    [InlineData("I'm  12345 é.", """{"type":"Split","pattern":{"Regex":"LLAMA"},"behavior":"Isolated"}""", "I|'m| | |123|45| é|.")]
    [InlineData("I'm  12345 é.", """{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}""", "I|'m| | 12345| é|.")]
    [InlineData("a1, b", """{"type":"Sequence","pretokenizers":[{"type":"Punctuation"},{"type":"Digits"},{"type":"ByteLevel","use_regex":false}]}""", "a|1|,| b")]
    public void Text_is_split_as_the_file_says(string text, string splitter, string expected)
    {
        // The vocabulary has only bytes, so words are read off the splitter itself.
        splitter = splitter.Replace("LLAMA", System.Text.Json.JsonEncodedText.Encode(WordSplitter.Llama3Pattern).ToString(), StringComparison.Ordinal);
        string path = Path.Combine(folder, "tokenizer.json");
        File.WriteAllText(path, TinyVocabulary.Json(splitter: splitter));
        Assert.Equal(expected, string.Join('|', TokenizerJson.SplitterOf(path).PreTokenize(text).Select(word => text.Substring(word.Offset, word.Length))));
    }

    [Theory]
    [InlineData("\"type\":\"BPE\"", "\"type\":\"Unigram\"", "Unigram")]
    [InlineData("\"type\":\"ByteLevel\"", "\"type\":\"Metaspace\"", "Metaspace")]
    [InlineData("\"normalizer\":null", "\"normalizer\":{\"type\":\"NFC\"}", "byte-level")]
    [InlineData("\"h e\"", "\"h \\u00d8\\u00d8\"", "do not fit")]
    [InlineData("\"model\":", "\"molde\":", "model")]
    [InlineData("\"id\":280", "\"id\":99999999", "99999999")]
    public void What_is_not_read_is_named(string of, string becomes, string expected)
    {
        string json = TinyVocabulary.Json();
        Assert.Contains(of, json, StringComparison.Ordinal);
        string message = Assert.Throws<InvalidDataException>(() => Load(json.Replace(of, becomes, StringComparison.Ordinal))).Message;
        Assert.Contains(expected, message, StringComparison.Ordinal);
        Assert.Contains("tokenizer.json", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Tiktoken_files_merge_by_rank()
    {
        string[] tokens = ["he", "ll", "hell", "hello", " w"];
        IEnumerable<byte[]> all = Enumerable.Range(0, 256).Select(value => new[] { (byte)value }).Concat(tokens.Select(Encoding.UTF8.GetBytes));
        File.WriteAllLines(Path.Combine(folder, "tokenizer.model"), all.Select((token, rank) => $"{Convert.ToBase64String(token)} {rank}"));
        BitNetTokenizer tokenizer = BitNetTokenizer.Load(folder);
        Assert.Equal([259, 260, 'x'], tokenizer.Encode("hello wx"));
        Assert.Equal("hello wx é", tokenizer.Decode(tokenizer.Encode("hello wx é")));
        File.WriteAllText(Path.Combine(folder, "tokenizer.model"), "YQ== 0\nYg== 7\n");
        Assert.Contains("line 2", Assert.Throws<InvalidDataException>(() => BitNetTokenizer.Load(folder)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_config_beside_it_decides_about_the_beginning()
    {
        File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), """{"add_bos_token":false,"bos_token":{"content":"<|begin_of_text|>"},"chat_template":"T"}""");
        BitNetTokenizer tokenizer = Load(TinyVocabulary.Json());
        Assert.Equal(['x'], tokenizer.Encode("x"));
        Assert.Equal("T", tokenizer.ChatTemplate);
    }

    [Fact]
    public void A_folder_without_a_tokenizer_says_so() =>
        Assert.Contains("tokenizer.json", Assert.Throws<FileNotFoundException>(() => BitNetTokenizer.Load(folder)).Message, StringComparison.Ordinal);

    private static IReadOnlyList<int> Bytes(BitNetTokenizer tokenizer, string text, bool allowSpecial = false) =>
        tokenizer.Encode(text, addBeginOfText: false, allowSpecial);

    private BitNetTokenizer Load(string json)
    {
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), json);
        return BitNetTokenizer.Load(folder);
    }
}
