using System.Buffers;

namespace BitLab.Inference;

/// <summary>Tokens that are whole strings and are found before text is split into words.</summary>
internal sealed class AddedTokens
{
    private readonly Dictionary<string, (int Number, bool IsSpecial)> tokens;
    private readonly string[] longestFirst;
    private readonly SearchValues<string> all;

    /// <param name="tokens">Their contents, none empty, with their numbers and whether they are special, that is only found where
    /// the caller asks for it.</param>
    public AddedTokens(Dictionary<string, (int Number, bool IsSpecial)> tokens)
    {
        this.tokens = tokens;
        longestFirst = [.. tokens.Keys.OrderByDescending(content => content.Length).ThenBy(content => content, StringComparer.Ordinal)];
        all = SearchValues.Create(longestFirst, StringComparison.Ordinal);
    }

    public int? Number(string content) => tokens.TryGetValue(content, out (int Number, bool IsSpecial) token) ? token.Number : null;

    /// <summary>The first of them in a text from some place on; of those that begin there the longest. Length 0 and the text's end
    /// where there is none.</summary>
    public (int Start, int Length, int Token) Find(string text, int from, bool allowSpecial)
    {
        for (int at = from; longestFirst.Length > 0 && at < text.Length; at++)
        {
            int next = text.AsSpan(at).IndexOfAny(all);
            if (next < 0)
                break;
            at += next;
            foreach (string content in longestFirst)
            {
                (int number, bool isSpecial) = tokens[content];
                if ((allowSpecial || !isSpecial) && string.CompareOrdinal(text, at, content, 0, content.Length) == 0)
                    return (at, content.Length, number);
            }
        }
        return (text.Length, 0, 0);
    }
}
