using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace BitLab.Core;

/// <summary>Activations to int8: range = max(max|x|, 1e-5), q = clamp(round(x · (127 / range)), -128, 127).</summary>
/// <remarks>Ma et al. 2024, arXiv:2402.17764, with the constants of Microsoft's training notes; ties round to even. An
/// activation is worth q · (range / 127).</remarks>
public static class Absmax
{
    /// <summary>The smallest range, so that all-zero activations stay zero instead of becoming NaN.</summary>
    public const float Epsilon = 1e-5f;

    /// <summary>The largest magnitude among some activations.</summary>
    /// <param name="activations">Any values, none allowed.</param>
    /// <returns>max(max|x|, <see cref="Epsilon"/>); NaN if any activation is NaN or infinite, so that what is computed
    /// from them becomes NaN as it would in a float layer.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Range(ReadOnlySpan<float> activations)
    {
        // Magnitudes compare like their bit patterns, with infinity and NaN above all numbers: an integer maximum finds
        // both the range and every non-finite value.
        const int MagnitudeBits = 0x7FFFFFFF, InfinityBits = 0x7F800000;
        Vector512<int> first = Vector512<int>.Zero, second = first, mask = Vector512.Create(MagnitudeBits);
        ref float start = ref MemoryMarshal.GetReference(activations);
        int i = 0;
        for (; i + 32 <= activations.Length; i += 32)
        {
            first = Vector512.Max(first, Vector512.LoadUnsafe(ref start, (nuint)i).AsInt32() & mask);
            second = Vector512.Max(second, Vector512.LoadUnsafe(ref start, (nuint)i + 16).AsInt32() & mask);
        }
        int largest = Largest(Vector512.Max(first, second));
        for (; i < activations.Length; i++)
            largest = Math.Max(largest, BitConverter.SingleToInt32Bits(activations[i]) & MagnitudeBits);
        return largest >= InfinityBits ? float.NaN : MathF.Max(BitConverter.Int32BitsToSingle(largest), Epsilon);
    }

    /// <summary>The int8 values of some activations.</summary>
    /// <param name="activations">Any values.</param>
    /// <param name="range">Their range, as <see cref="Range"/> gives it. If it is NaN, every value becomes 0.</param>
    /// <param name="quantized">As long as <paramref name="activations"/>.</param>
    /// <returns>The sum of the values, which the kernels need.</returns>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static int Quantize(ReadOnlySpan<float> activations, float range, Span<sbyte> quantized)
    {
        if (quantized.Length != activations.Length)
        {
            throw new ArgumentException(
                $"{activations.Length} activations need as many values, not {quantized.Length}.", nameof(quantized));
        }
        if (float.IsNaN(range))
        {
            quantized.Clear();
            return 0;
        }

        float scale = 127f / range;
        Vector512<int> sums = Vector512<int>.Zero;
        int i = 0;
        if (Avx512F.IsSupported)
            i = QuantizeBlocks(activations, scale, quantized, ref sums);
        for (; i + Vector512<sbyte>.Count <= activations.Length; i += Vector512<sbyte>.Count)
        {
            Vector512<int> a = Rounded(activations, i, scale), b = Rounded(activations, i + 16, scale);
            Vector512<int> c = Rounded(activations, i + 32, scale), d = Rounded(activations, i + 48, scale);
            sums += a + b + (c + d);
            Vector512.Narrow(Vector512.Narrow(a, b), Vector512.Narrow(c, d)).CopyTo(quantized[i..]);
        }
        int sum = Vector512.Sum(sums);
        for (; i < activations.Length; i++)
        {
            quantized[i] = (sbyte)Math.Clamp(MathF.Round(activations[i] * scale), -128f, 127f);
            sum += quantized[i];
        }
        return sum;
    }

    /// <summary>The sum of some int8 values, as many as fill vectors of 16.</summary>
    internal static int Sum(ReadOnlySpan<sbyte> values)
    {
        ReadOnlySpan<Vector128<int>> sixteens = MemoryMarshal.Cast<sbyte, Vector128<int>>(values);
        ReadOnlySpan<Vector512<int>> sixtyFours = MemoryMarshal.Cast<sbyte, Vector512<int>>(values);
        Vector512<int> wide = Vector512<int>.Zero;
        foreach (Vector512<int> fours in sixtyFours)
            wide += (fours << 24 >> 24) + (fours << 16 >> 24) + ((fours << 8 >> 24) + (fours >> 24));
        Vector128<int> narrow = Vector128<int>.Zero;
        foreach (Vector128<int> fours in sixteens[(sixtyFours.Length * 4)..])
            narrow += (fours << 24 >> 24) + (fours << 16 >> 24) + ((fours << 8 >> 24) + (fours >> 24));
        return Vector512.Sum(wide) + Vector128.Sum(narrow);
    }

    /// <summary>What activations are worth once they are int8: q · (range / 127), and on the way there
    /// x + lambda · (q · (range / 127) - x).</summary>
    /// <param name="activations">Any values.</param>
    /// <param name="range">Their range, as <see cref="Range"/> gives it. If it is NaN, every value becomes NaN.</param>
    /// <param name="values">As long as <paramref name="activations"/>, which it may not overlap in part.</param>
    /// <param name="lambda">How far to go, 0 to 1.</param>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static void FakeQuantize(ReadOnlySpan<float> activations, float range, Span<float> values, float lambda = 1)
    {
        if (values.Length != activations.Length)
        {
            throw new ArgumentException(
                $"{activations.Length} activations need as many values, not {values.Length}.", nameof(values));
        }
        if (float.IsNaN(range))
            values.Fill(float.NaN);
        else
            FakeQuantization.Fill(activations, 127f / range, -128, 127, range / 127f, lambda, values);
    }

    // vcvtps2dq rounds half to even by itself, and vpmovsdb makes bytes in one step.
    private static int QuantizeBlocks(ReadOnlySpan<float> activations, float scale, Span<sbyte> quantized, ref Vector512<int> sums)
    {
        Vector512<int> evens = Vector512<int>.Zero, odds = evens;
        ref sbyte target = ref MemoryMarshal.GetReference(quantized);
        int i = 0;
        for (; i + 32 <= activations.Length; i += 32)
        {
            Vector512<int> a = Avx512F.ConvertToVector512Int32(Clamped(activations, i, scale));
            Vector512<int> b = Avx512F.ConvertToVector512Int32(Clamped(activations, i + 16, scale));
            evens += a;
            odds += b;
            Avx512F.ConvertToVector128SByte(a).StoreUnsafe(ref target, (nuint)i);
            Avx512F.ConvertToVector128SByte(b).StoreUnsafe(ref target, (nuint)i + 16);
        }
        sums += evens + odds;
        return i;
    }

    private static Vector512<int> Rounded(ReadOnlySpan<float> activations, int at, float scale) =>
        Vector512.ConvertToInt32Native(Vector512.Round(Clamped(activations, at, scale)));

    private static int Largest(Vector512<int> lanes)
    {
        Vector256<int> eight = Vector256.Max(lanes.GetLower(), lanes.GetUpper());
        Vector128<int> four = Vector128.Max(eight.GetLower(), eight.GetUpper());
        return Math.Max(Math.Max(four[0], four[1]), Math.Max(four[2], four[3]));
    }

    // The caller has checked that there are as many. The bounds are whole numbers, so it does not matter whether clamping or rounding comes first.
    private static Vector512<float> Clamped(ReadOnlySpan<float> activations, int at, float scale) =>
        Vector512.ClampNative(
            Vector512.LoadUnsafe(ref MemoryMarshal.GetReference(activations), (nuint)at) * scale,
            Vector512.Create(-128f), Vector512.Create(127f));
}
