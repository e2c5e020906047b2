using Microsoft.ML.Tokenizers;

namespace BitLab.Inference;

/// <summary>What a byte-level BPE vocabulary consists of, whatever file it comes from.</summary>
internal sealed class Vocabulary
{
    // No model has more; what a damaged file claims is not allocated.
    private const int MaxTokens = 1 << 24;

    /// <summary>Tokens as the vocabulary writes them, with their numbers.</summary>
    public required Dictionary<string, int> Tokens { get; init; }

    /// <summary>Pairs in the order in which they are merged, with a space between.</summary>
    public required IReadOnlyList<string> Merges { get; init; }

    public required WordSplitter Splitter { get; init; }

    /// <summary>Added tokens with their numbers and whether they are special.</summary>
    public required Dictionary<string, (int Number, bool IsSpecial)> Added { get; init; }

    /// <summary>Whether a word that is a token is taken as it is, even where no merges lead to it.</summary>
    public bool IgnoresMerges { get; init; }

    public int? BeginOfText { get; init; }

    public string? ChatTemplate { get; init; }

    /// <param name="source">What errors call the file.</param>
    public BitNetTokenizer Build(string source)
    {
        int largest = Tokens.Values.Concat(Added.Values.Select(token => token.Number)).DefaultIfEmpty(-1).Max();
        if (largest is < 0 or >= MaxTokens || Tokens.Values.Any(number => number < 0))
            throw new InvalidDataException($"{source}: its tokens are numbered up to {largest}; expected 0 to {MaxTokens - 1}.");
        byte[]?[] bytes = new byte[largest + 1][];
        foreach ((string token, int number) in Tokens)
        {
            // Tokens in another alphabet are placeholders that no text has.
            bytes[number] = ByteAlphabet.Read(token);
        }
        foreach ((string content, (int number, bool isSpecial)) in Added)
            bytes[number] = isSpecial ? null : System.Text.Encoding.UTF8.GetBytes(content);
        if (!ByteTokensAreThere())
            throw new InvalidDataException($"{source}: it is no byte-level vocabulary: a single byte has no token.");
        BpeTokenizer pairs;
        try
        {
            pairs = BpeTokenizer.Create(new BpeOptions(Tokens) { Merges = Merges, ByteLevel = true });
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or KeyNotFoundException)
        {
            throw new InvalidDataException($"{source}: its vocabulary and merges do not fit. {e.Message}", e);
        }
        return new BitNetTokenizer(pairs, Splitter, IgnoresMerges ? Tokens : null, bytes, new AddedTokens(Added))
        {
            BeginOfText = BeginOfText,
            ChatTemplate = ChatTemplate,
        };
    }

    private bool ByteTokensAreThere() =>
        Enumerable.Range(0, 256).All(value => Tokens.ContainsKey(ByteAlphabet.CharacterOf((byte)value).ToString()));
}
