using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace BitLab.Core;

/// <summary>The two transpositions that turn foreign packings into panels.</summary>
/// <remarks>Foreign formats put things that are far apart (rows, or columns 32 apart) into the four 2-bit fields of a byte and
/// sixteen columns side by side into sixteen bytes. A panel has four columns of the sixteen in a byte's fields, and rows side by
/// side. So four vectors, a row each, are transposed as 4 x 4 words, then as 4 x 4 fields.</remarks>
internal static class FieldTranspose
{
    /// <summary>Word j of row i to word i of vector j.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Words(ref Vector128<uint> a, ref Vector128<uint> b, ref Vector128<uint> c, ref Vector128<uint> d)
    {
        // Narrowing takes the even words of two vectors; shifted before, the odd ones.
        Vector128<uint> evenAB = Even(a, b), oddAB = Odd(a, b), evenCD = Even(c, d), oddCD = Odd(c, d);
        a = Even(evenAB, evenCD);
        b = Even(oddAB, oddCD);
        c = Odd(evenAB, evenCD);
        d = Odd(oddAB, oddCD);
    }

    /// <summary>Field i of vector j to field j of vector i, in every byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Fields(ref Vector128<uint> a, ref Vector128<uint> b, ref Vector128<uint> c, ref Vector128<uint> d)
    {
        Swap(ref a, ref b, 2, 0x33333333);
        Swap(ref c, ref d, 2, 0x33333333);
        Swap(ref a, ref c, 4, 0x0F0F0F0F);
        Swap(ref b, ref d, 4, 0x0F0F0F0F);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Swap(ref Vector128<uint> high, ref Vector128<uint> low, int shift, uint mask)
    {
        Vector128<uint> differ = ((high >>> shift) ^ low) & Vector128.Create(mask);
        low ^= differ;
        high ^= differ << shift;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Even(Vector128<uint> first, Vector128<uint> second) =>
        Vector128.Narrow(first.AsUInt64(), second.AsUInt64());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Odd(Vector128<uint> first, Vector128<uint> second) =>
        Vector128.Narrow(first.AsUInt64() >>> 32, second.AsUInt64() >>> 32);
}
