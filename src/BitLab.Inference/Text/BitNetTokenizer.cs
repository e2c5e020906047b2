using System.Text;
using Microsoft.ML.Tokenizers;

namespace BitLab.Inference;

/// <summary>From text to a model's tokens and back.</summary>
/// <remarks>The pairs of bytes are merged by Microsoft.ML.Tokenizers; around it are what files say of splitting, special
/// tokens and the beginning of a text, and the bytes of each token, from which text is put together as it comes. Any
/// number of threads may use it.</remarks>
public sealed class BitNetTokenizer
{
    private readonly Tokenizer pairs;
    private readonly PreTokenizer splitter;
    private readonly Dictionary<string, int>? wholeWords;
    private readonly byte[]?[] bytes;
    private readonly AddedTokens added;

    /// <param name="pairs">Merges the pairs of a word.</param>
    /// <param name="splitter">Splits text into words.</param>
    /// <param name="wholeWords">Tokens, as the vocabulary writes them, that are taken without merging, or null.</param>
    /// <param name="bytes">What each token adds to a text; null for special ones.</param>
    /// <param name="added">Tokens that are found before text is split.</param>
    internal BitNetTokenizer(
        Tokenizer pairs, PreTokenizer splitter, Dictionary<string, int>? wholeWords, byte[]?[] bytes, AddedTokens added)
    {
        this.pairs = pairs;
        this.splitter = splitter;
        this.wholeWords = wholeWords;
        this.bytes = bytes;
        this.added = added;
    }

    /// <summary>Tokens in the vocabulary, with gaps.</summary>
    public int VocabularySize => bytes.Length;

    /// <summary>The token that begins a text, or null.</summary>
    public int? BeginOfText { get; internal init; }

    /// <summary>The chat template that came with the vocabulary, in Jinja, or null.</summary>
    public string? ChatTemplate { get; internal init; }

    /// <summary>Loads the tokenizer of a model.</summary>
    /// <param name="path">A folder with tokenizer.json, or with a tokenizer.model or *.tiktoken of tiktoken's form; or a GGUF
    /// file.</param>
    /// <returns>The tokenizer.</returns>
    /// <exception cref="FileNotFoundException">There is none.</exception>
    /// <exception cref="InvalidDataException">The file is damaged, or of a kind that BitLab does not read.</exception>
    public static BitNetTokenizer Load(string path) => TokenizerFiles.Load(path);

    /// <summary>The tokens of a text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="addBeginOfText">Whether <see cref="BeginOfText"/>, if there is one, comes first. Default: true.</param>
    /// <param name="allowSpecial">Whether special tokens that the text spells out, such as <c>&lt;|eot_id|&gt;</c>, become those
    /// tokens. Default: false, as text from outside should not.</param>
    /// <returns>The tokens.</returns>
    public IReadOnlyList<int> Encode(string text, bool addBeginOfText = true, bool allowSpecial = false)
    {
        ArgumentNullException.ThrowIfNull(text);
        var tokens = new List<int>();
        if (addBeginOfText && BeginOfText is int begin)
            tokens.Add(begin);
        int at = 0;
        while (at < text.Length)
        {
            (int start, int length, int token) = added.Find(text, at, allowSpecial);
            EncodeWords(text, at, start, tokens);
            if (length > 0)
                tokens.Add(token);
            at = start + length;
        }
        return tokens;
    }

    /// <summary>The text of some tokens. Special ones are left out.</summary>
    /// <param name="tokens">The tokens.</param>
    /// <returns>The text; bytes that are no UTF-8 become U+FFFD.</returns>
    public string Decode(IEnumerable<int> tokens)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        var all = new List<byte>();
        foreach (int token in tokens)
            all.AddRange(BytesOf(token));
        return Encoding.UTF8.GetString([.. all]);
    }

    /// <summary>What a token adds to a text: UTF-8, but not always whole characters.</summary>
    /// <param name="token">The token.</param>
    /// <returns>The bytes; none for special tokens and for those that the vocabulary lacks.</returns>
    public ReadOnlySpan<byte> BytesOf(int token) => (uint)token < (uint)bytes.Length ? bytes[token] : default(ReadOnlySpan<byte>);

    /// <summary>The number of a special or added token.</summary>
    /// <param name="content">How it is written, such as <c>&lt;|eot_id|&gt;</c>.</param>
    /// <returns>The token, or null.</returns>
    public int? SpecialToken(string content) => added.Number(content);

    private void EncodeWords(string text, int from, int end, List<int> tokens)
    {
        if (from == end)
            return;
        string part = text[from..end];
        foreach ((int offset, int length) in splitter.PreTokenize(part))
        {
            ReadOnlySpan<char> word = part.AsSpan(offset, length);
            if (wholeWords is not null && wholeWords.TryGetValue(ByteAlphabet.Write(word), out int whole))
                tokens.Add(whole);
            else
                tokens.AddRange(pairs.EncodeToIds(word, considerPreTokenization: false, considerNormalization: false));
        }
    }
}
