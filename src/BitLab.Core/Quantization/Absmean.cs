using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace BitLab.Core;

/// <summary>Weights to trits: scale = max(mean|w|, 1e-5), trit = clamp(round(w · (1 / scale)), -1, 1).</summary>
/// <remarks>Ma et al. 2024, arXiv:2402.17764, equations 1 to 3, with the constants of Microsoft's training notes. The
/// mean is accumulated in double precision and rounded once; ties round to even. A weight is worth scale · trit.</remarks>
public static class Absmean
{
    /// <summary>The smallest scale, so that all-zero weights stay zero instead of becoming NaN.</summary>
    public const float Epsilon = 1e-5f;

    /// <summary>Magnitudes are summed in blocks of so many, whose sums are then added in order: several threads find the same
    /// bits as one.</summary>
    internal const int BlockLength = 1 << 16;

    /// <summary>The scale of some weights.</summary>
    /// <param name="weights">At least one weight.</param>
    /// <param name="name">What the error calls these weights.</param>
    /// <returns>max(mean|w|, <see cref="Epsilon"/>).</returns>
    /// <exception cref="ArgumentException">There are no weights.</exception>
    /// <exception cref="QuantizationException">A weight is NaN or infinite.</exception>
    public static float Scale(ReadOnlySpan<float> weights, string name = "weight")
    {
        if (weights.IsEmpty)
            throw new ArgumentException("There are no weights to take the mean of.", nameof(weights));
        float scale = ScaleOrNaN(weights);
        return float.IsNaN(scale) ? throw NotFinite(weights, name) : scale;
    }

    /// <summary>The trits of some weights.</summary>
    /// <param name="weights">Finite weights.</param>
    /// <param name="scale">Their scale, as <see cref="Scale"/> gives it.</param>
    /// <param name="trits">As long as <paramref name="weights"/>; each becomes -1, 0 or 1.</param>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static void Quantize(ReadOnlySpan<float> weights, float scale, Span<sbyte> trits)
    {
        if (trits.Length != weights.Length)
            throw new ArgumentException($"{weights.Length} weights need as many trits, not {trits.Length}.", nameof(trits));
        float reciprocal = 1f / scale;
        int i = 0;
        for (; i + Vector512<sbyte>.Count <= weights.Length; i += Vector512<sbyte>.Count)
        {
            Vector512<sbyte> sixtyFour = Vector512.Narrow(
                Vector512.Narrow(Rounded(weights, i, reciprocal), Rounded(weights, i + 16, reciprocal)),
                Vector512.Narrow(Rounded(weights, i + 32, reciprocal), Rounded(weights, i + 48, reciprocal)));
            sixtyFour.CopyTo(trits[i..]);
        }
        for (; i < weights.Length; i++)
            trits[i] = (sbyte)Math.Clamp(MathF.Round(weights[i] * reciprocal), -1f, 1f);
    }

    /// <summary>What weights are worth once they are trits: scale · trit, and on the way there
    /// w + lambda · (scale · trit - w).</summary>
    /// <param name="weights">Any weights.</param>
    /// <param name="scale">Their scale, as <see cref="Scale"/> gives it. If it is NaN, every value becomes NaN.</param>
    /// <param name="values">As long as <paramref name="weights"/>, which it may not overlap in part.</param>
    /// <param name="lambda">How far to go, 0 to 1.</param>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static void FakeQuantize(ReadOnlySpan<float> weights, float scale, Span<float> values, float lambda = 1)
    {
        if (values.Length != weights.Length)
            throw new ArgumentException($"{weights.Length} weights need as many values, not {values.Length}.", nameof(values));
        if (float.IsNaN(scale))
            values.Fill(float.NaN);
        else
            FakeQuantization.Fill(weights, 1f / scale, -1, 1, scale, lambda, values);
    }

    /// <summary><see cref="Scale"/>, or NaN where a weight is NaN or infinite.</summary>
    internal static float ScaleOrNaN(ReadOnlySpan<float> weights)
    {
        double sum = 0;
        for (int at = 0; at < weights.Length; at += Math.Min(BlockLength, weights.Length - at))
            sum += SumOfBlock(weights.Slice(at, Math.Min(BlockLength, weights.Length - at)));
        return ScaleOf(sum, weights.Length);
    }

    /// <summary>The scale of weights whose magnitudes have this sum.</summary>
    internal static float ScaleOf(double sumOfMagnitudes, long count) =>
        // Finite floats cannot sum to an infinite double, so this one test finds every NaN and infinity.
        double.IsFinite(sumOfMagnitudes) ? MathF.Max((float)(sumOfMagnitudes / count), Epsilon) : float.NaN;

    /// <summary>The error that names the first weight that is NaN or infinite; there is one.</summary>
    internal static QuantizationException NotFinite(ReadOnlySpan<float> weights, string name)
    {
        int i = 0;
        while (float.IsFinite(weights[i]))
            i++;
        return new QuantizationException($"'{name}' cannot be made ternary: element {i} is {weights[i]}.");
    }

    /// <summary>The sum of the magnitudes in a block. The order of the additions is fixed at eight lanes wherever this runs, so
    /// a scale does not depend on the machine.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static double SumOfBlock(ReadOnlySpan<float> weights)
    {
        Vector512<double> sums = Vector512<double>.Zero;
        ReadOnlySpan<Vector256<float>> eights = MemoryMarshal.Cast<float, Vector256<float>>(weights);
        foreach (Vector256<float> eight in eights)
        {
            Vector256<float> magnitudes = Vector256.Abs(eight);
            sums += Vector512.Create(Vector256.WidenLower(magnitudes), Vector256.WidenUpper(magnitudes));
        }
        double sum = 0;
        for (int lane = 0; lane < Vector512<double>.Count; lane++)
            sum += sums[lane];
        foreach (float weight in weights[(eights.Length * Vector256<float>.Count)..])
            sum += MathF.Abs(weight);
        return sum;
    }

    /// <summary>The sums of two blocks of one length, each as <see cref="SumOfBlock"/> finds it, in little more than the time of
    /// one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static (double First, double Second) SumsOfBlocks(ReadOnlySpan<float> first, ReadOnlySpan<float> second)
    {
        Vector512<double> firstSums = Vector512<double>.Zero, secondSums = firstSums;
        for (int i = 0; i + Vector256<float>.Count <= first.Length; i += Vector256<float>.Count)
        {
            Vector256<float> one = Vector256.Abs(Vector256.Create(first.Slice(i, Vector256<float>.Count)));
            Vector256<float> other = Vector256.Abs(Vector256.Create(second.Slice(i, Vector256<float>.Count)));
            firstSums += Vector512.Create(Vector256.WidenLower(one), Vector256.WidenUpper(one));
            secondSums += Vector512.Create(Vector256.WidenLower(other), Vector256.WidenUpper(other));
        }
        double firstSum = 0, secondSum = 0;
        for (int lane = 0; lane < Vector512<double>.Count; lane++)
        {
            firstSum += firstSums[lane];
            secondSum += secondSums[lane];
        }
        return (firstSum, secondSum);
    }

    private static Vector512<int> Rounded(ReadOnlySpan<float> weights, int at, float reciprocal)
    {
        Vector512<float> scaled = Vector512.Create(weights.Slice(at, Vector512<float>.Count)) * reciprocal;
        return Vector512.ConvertToInt32Native(
            Vector512.ClampNative(Vector512.Round(scaled), Vector512.Create(-1f), Vector512<float>.One));
    }
}
