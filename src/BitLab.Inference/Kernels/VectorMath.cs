using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace BitLab.Inference;

/// <summary>What the managed float kernels share. .NET maps <see cref="Vector512{T}"/> to registers of 256 or 128 bits where
/// there are none of 512; the results are the same.</summary>
internal static unsafe class VectorMath
{
    public const int Lanes = 16;

    /// <summary>Sixteen lanes by halves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector512<float> lanes)
    {
        Vector256<float> eight = lanes.GetLower() + lanes.GetUpper();
        Vector128<float> four = eight.GetLower() + eight.GetUpper();
        return (four[0] + four[2]) + (four[1] + four[3]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Max(Vector512<float> lanes)
    {
        Vector256<float> eight = Vector256.Max(lanes.GetLower(), lanes.GetUpper());
        Vector128<float> four = Vector128.Max(eight.GetLower(), eight.GetUpper());
        return MathF.Max(MathF.Max(four[0], four[2]), MathF.Max(four[1], four[3]));
    }

    /// <summary>The first <paramref name="count"/> of sixteen floats, zeros behind them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> LoadFirst(float* source, int count)
    {
        float* lanes = stackalloc float[Lanes];
        for (int i = 0; i < count; i++)
            lanes[i] = source[i];
        return Vector512.Load(lanes);
    }

    /// <summary>Writes the first <paramref name="count"/> lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFirst(Vector512<float> value, float* target, int count)
    {
        float* lanes = stackalloc float[Lanes];
        value.Store(lanes);
        for (int i = 0; i < count; i++)
            target[i] = lanes[i];
    }

    /// <summary>Sixteen numbers as floats.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(ElementType type, byte* numbers, long index) => type switch
    {
        ElementType.Float32 => Vector512.Load((float*)numbers + index),
        ElementType.BFloat16 => FromBFloat16(Vector256.Load((ushort*)numbers + index)),
        _ => FromFloat16(Vector256.Load((ushort*)numbers + index)),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> FromBFloat16(Vector256<ushort> bits) => (Wide(bits) << 16).AsSingle();

    /// <summary>Halves as floats. Infinity and NaN become large numbers: checkpoints and caches hold neither.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> FromFloat16(Vector256<ushort> bits)
    {
        Vector512<uint> wide = Wide(bits);
        // The exponent is 112 too low, also that of subnormal halves, which are normal floats.
        Vector512<float> magnitude = ((wide & Vector512.Create(0x7FFFu)) << 13).AsSingle() * Vector512.Create(5.192296858534828e33f);
        return (magnitude.AsUInt32() | ((wide & Vector512.Create(0x8000u)) << 16)).AsSingle();
    }

    /// <summary>exp(x), to 2 units in the last place; x is held between -87 and 88.</summary>
    /// <remarks>x = n · ln 2 + r with n whole, so exp(x) = 2ⁿ · exp(r), and exp(r) is a polynomial of degree 7. The
    /// coefficients are those of Cephes' <c>expf</c>.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Exp(Vector512<float> x)
    {
        x = Vector512.Min(Vector512.Max(x, Vector512.Create(-87f)), Vector512.Create(88f));
        Vector512<float> n = Vector512.Round(x * Vector512.Create(1.44269504088896341f));
        Vector512<float> r = Vector512.FusedMultiplyAdd(n, Vector512.Create(-0.693359375f), x);
        r = Vector512.FusedMultiplyAdd(n, Vector512.Create(2.12194440e-4f), r);
        Vector512<float> p = Vector512.Create(1.9875691500e-4f);
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1.3981999507e-3f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(8.3334519073e-3f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(4.1665795894e-2f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1.6666665459e-1f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(5.0000001201e-1f));
        p = Vector512.FusedMultiplyAdd(p, r * r, r) + Vector512<float>.One;
        Vector512<int> power = (Vector512.ConvertToInt32(n) + Vector512.Create(127)) << 23;
        return p * power.AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Wide(Vector256<ushort> bits)
    {
        (Vector256<uint> lower, Vector256<uint> upper) = Vector256.Widen(bits);
        return Vector512.Create(lower, upper);
    }
}
