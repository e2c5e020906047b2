using System.Runtime.InteropServices;

namespace Accuracy.Data;

/// <summary>Predicts a character from how often it followed those before it: what a transformer must beat.</summary>
/// <remarks>Each order is mixed with the shorter one by the share of distinct characters that followed a context (Witten and Bell
/// 1991, doi:10.1109/18.87000).</remarks>
internal sealed class NGram
{
    private readonly int order;
    private readonly int vocabulary;

    // By (length, context): how many characters followed it, and how many distinct ones. By (length, context, next): how many.
    private readonly Dictionary<ulong, (int Count, int Distinct)> contexts = [];
    private readonly Dictionary<ulong, int> followers = [];

    /// <summary>Counts.</summary>
    /// <param name="order">How many characters before the one that is predicted, up to 6.</param>
    /// <param name="vocabulary">How many characters there are, up to 255.</param>
    /// <param name="texts">Numbered characters.</param>
    public NGram(int order, int vocabulary, IEnumerable<byte[]> texts)
    {
        (this.order, this.vocabulary) = (order, vocabulary);
        foreach (byte[] text in texts)
        {
            for (int i = 0; i < text.Length; i++)
            {
                for (int length = 0; length <= Math.Min(order, i); length++)
                {
                    ulong context = Context(text, i, length);
                    ref int follower = ref CollectionsMarshal.GetValueRefOrAddDefault(
                        followers, (context << 8) | text[i], out bool known);
                    follower++;
                    ref (int Count, int Distinct) seen = ref CollectionsMarshal.GetValueRefOrAddDefault(contexts, context, out _);
                    seen = (seen.Count + 1, seen.Distinct + (known ? 0 : 1));
                }
            }
        }
    }

    /// <summary>The probability of a character of a text, given those before it.</summary>
    public double Probability(byte[] text, int at)
    {
        double probability = 1.0 / vocabulary;
        for (int length = 0; length <= Math.Min(order, at); length++)
        {
            ulong context = Context(text, at, length);
            if (!contexts.TryGetValue(context, out (int Count, int Distinct) seen))
                break;
            followers.TryGetValue((context << 8) | text[at], out int count);
            probability = (count + (seen.Distinct * probability)) / (seen.Count + seen.Distinct);
        }
        return probability;
    }

    /// <summary>The mean of -log2 p over all characters of texts.</summary>
    public double BitsPerCharacter(IReadOnlyList<byte[]> texts) =>
        texts.Sum(text => Enumerable.Range(0, text.Length).Sum(i => -Math.Log2(Probability(text, i))))
        / texts.Sum(text => text.Length);

    // A 1 before the context keeps lengths apart.
    private static ulong Context(byte[] text, int end, int length)
    {
        ulong context = 1;
        for (int i = end - length; i < end; i++)
            context = (context << 8) | text[i];
        return context;
    }
}
