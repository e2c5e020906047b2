using System.Runtime.InteropServices;

namespace BitLab.Core;

/// <summary>Another scale for weights: max(median|w|, 1e-5). Everything else is as in <see cref="Absmean"/>.</summary>
/// <remarks>Nielsen and Schneider-Kamp 2024, "BitNet b1.58 Reloaded", arXiv:2407.09527. Of an even number of magnitudes the
/// lower of the two in the middle is taken, as <c>torch.median</c> does.</remarks>
public static class Absmedian
{
    // A magnitude has 31 bits: found in two steps, first its upper 16, then its lower 15.
    private const int LowBits = 15;
    private const int MagnitudeBits = 0x7FFFFFFF, InfinityBits = 0x7F800000;

    /// <summary>The scale of some weights.</summary>
    /// <param name="weights">At least one weight.</param>
    /// <param name="name">What the error calls these weights.</param>
    /// <returns>max(median|w|, <see cref="Absmean.Epsilon"/>).</returns>
    /// <exception cref="ArgumentException">There are no weights.</exception>
    /// <exception cref="QuantizationException">A weight is NaN or infinite.</exception>
    public static float Scale(ReadOnlySpan<float> weights, string name = "weight")
    {
        if (weights.IsEmpty)
            throw new ArgumentException("There are no weights to take the median of.", nameof(weights));
        float scale = ScaleOrNaN(weights);
        return float.IsNaN(scale) ? throw Absmean.NotFinite(weights, name) : scale;
    }

    /// <summary><see cref="Scale"/>, or NaN where a weight is NaN or infinite.</summary>
    internal static float ScaleOrNaN(ReadOnlySpan<float> weights)
    {
        // Magnitudes of floats are in the order of their bits.
        ReadOnlySpan<int> bits = MemoryMarshal.Cast<float, int>(weights);
        int[] counts = new int[(InfinityBits >> LowBits) + 1];
        foreach (int each in bits)
            counts[Math.Min(each & MagnitudeBits, InfinityBits) >> LowBits]++;
        if (counts[^1] > 0)
            return float.NaN;
        int rank = (bits.Length - 1) / 2;
        int high = Find(counts, ref rank);
        Array.Clear(counts);
        foreach (int each in bits)
        {
            if ((each & MagnitudeBits) >> LowBits == high)
                counts[each & ((1 << LowBits) - 1)]++;
        }
        int median = (high << LowBits) | Find(counts, ref rank);
        return MathF.Max(BitConverter.Int32BitsToSingle(median), Absmean.Epsilon);
    }

    // In which bin the value of this rank is, and its rank in there.
    private static int Find(int[] counts, ref int rank)
    {
        int bin = 0;
        for (; rank >= counts[bin]; bin++)
            rank -= counts[bin];
        return bin;
    }
}
