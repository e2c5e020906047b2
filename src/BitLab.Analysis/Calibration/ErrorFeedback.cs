using System.Numerics;
using System.Runtime.InteropServices;
using BitLab.Core;

namespace BitLab.Analysis;

/// <summary>The loops over single trits. Rows do not depend on each other, so they are divided over threads, and the result is the
/// same for any number.</summary>
internal static class ErrorFeedback
{
    /// <summary>Rounds each row from left to right; the error of each weight, weighed by the factor, goes to those behind it.</summary>
    /// <param name="weights">(N, K); each becomes its trit.</param>
    /// <param name="factor">(K, K), upper: U of H⁻¹ = Uᵀ U.</param>
    /// <param name="scales">(N).</param>
    public static void Round(float[] weights, float[] factor, float[] scales)
    {
        int k = weights.Length / scales.Length;
        ForEachRow(scales.Length, row =>
        {
            Span<float> w = weights.AsSpan(row * k, k);
            float scale = scales[row];
            for (int j = 0; j < k; j++)
            {
                float trit = Trit(w[j] / scale);
                float error = (w[j] - (scale * trit)) / factor[(j * k) + j];
                w[j] = trit;
                SubtractScaled(w[(j + 1)..], factor.AsSpan((j * k) + j + 1, k - j - 1), error);
            }
        });
    }

    /// <summary>Makes each trit the best one while the others stay.</summary>
    /// <param name="trits">(N, K).</param>
    /// <param name="gradient">(N, K): (w - s · t) H, kept true while trits change.</param>
    /// <param name="moments">(K, K): H.</param>
    /// <param name="scales">(N).</param>
    /// <returns>Whether a trit changed.</returns>
    public static bool Sweep(float[] trits, float[] gradient, float[] moments, float[] scales)
    {
        int k = trits.Length / scales.Length, changes = 0;
        ForEachRow(scales.Length, row =>
        {
            Span<float> t = trits.AsSpan(row * k, k), g = gradient.AsSpan(row * k, k);
            float scale = scales[row];
            for (int j = 0; j < k; j++)
            {
                float best = Trit(t[j] + (g[j] / (scale * moments[(j * k) + j])));
                if (best == t[j])
                    continue;
                SubtractScaled(g, moments.AsSpan(j * k, k), scale * (best - t[j]));
                t[j] = best;
                Interlocked.Increment(ref changes);
            }
        });
        return changes > 0;
    }

    // A scale of zero divides to infinity or NaN.
    private static float Trit(float value) => float.IsFinite(value) ? Math.Clamp(MathF.Round(value), -1, 1) : 0;

    private static void SubtractScaled(Span<float> y, ReadOnlySpan<float> x, float factor)
    {
        int vectorized = y.Length / Vector<float>.Count;
        Span<Vector<float>> ys = MemoryMarshal.Cast<float, Vector<float>>(y);
        ReadOnlySpan<Vector<float>> xs = MemoryMarshal.Cast<float, Vector<float>>(x);
        for (int i = 0; i < vectorized; i++)
            ys[i] -= xs[i] * factor;
        for (int i = vectorized * Vector<float>.Count; i < y.Length; i++)
            y[i] -= x[i] * factor;
    }

    private static void ForEachRow(int rows, Action<int> body) =>
        Parallel.For(0, rows, new ParallelOptions { MaxDegreeOfParallelism = BitLabRuntime.NumThreads }, body);
}
