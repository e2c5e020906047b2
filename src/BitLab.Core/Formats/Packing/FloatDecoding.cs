using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace BitLab.Core;

/// <summary>Encoded floats to float32, exactly.</summary>
internal static class FloatDecoding
{
    public const int Q8BlockValues = 32;
    public const int Q8BlockBytes = 34;

    /// <summary>Whether an encoding is one of floats.</summary>
    public static bool Decodes(TensorEncoding encoding) =>
        encoding is TensorEncoding.F32 or TensorEncoding.F16 or TensorEncoding.BF16 or TensorEncoding.Q8_0;

    /// <summary>The bytes of some values; for Q8_0 these are whole blocks.</summary>
    public static long ByteCount(TensorEncoding encoding, long values) => encoding switch
    {
        TensorEncoding.F32 => values * sizeof(float),
        TensorEncoding.F16 or TensorEncoding.BF16 => values * sizeof(ushort),
        TensorEncoding.Q8_0 => values / Q8BlockValues * Q8BlockBytes,
        _ => throw new ArgumentException($"{encoding} holds no floats.", nameof(encoding)),
    };

    /// <summary>Decodes as many values as there is room for.</summary>
    public static void Decode(TensorEncoding encoding, ReadOnlySpan<byte> bytes, Span<float> values)
    {
        switch (encoding)
        {
            case TensorEncoding.F32:
                bytes[..(values.Length * sizeof(float))].CopyTo(MemoryMarshal.AsBytes(values));
                break;
            case TensorEncoding.BF16:
                FromBFloat16(MemoryMarshal.Cast<byte, ushort>(bytes), values);
                break;
            case TensorEncoding.F16:
                FromHalf(MemoryMarshal.Cast<byte, ushort>(bytes), values);
                break;
            case TensorEncoding.Q8_0:
                FromQ8(bytes, values);
                break;
            default:
                throw new ArgumentException($"{encoding} holds no floats.", nameof(encoding));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FromBFloat16(ReadOnlySpan<ushort> halves, Span<float> values)
    {
        int i = 0;
        for (; i + Vector256<ushort>.Count <= values.Length; i += Vector256<ushort>.Count)
        {
            Vector256<ushort> some = Vector256.Create(halves.Slice(i, Vector256<ushort>.Count));
            (Vector256.WidenLower(some) << 16).AsSingle().CopyTo(values[i..]);
            (Vector256.WidenUpper(some) << 16).AsSingle().CopyTo(values[(i + Vector256<float>.Count)..]);
        }
        for (; i < values.Length; i++)
            values[i] = BitConverter.UInt32BitsToSingle((uint)halves[i] << 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FromHalf(ReadOnlySpan<ushort> halves, Span<float> values)
    {
        int i = 0;
        for (; i + Vector256<ushort>.Count <= values.Length; i += Vector256<ushort>.Count)
        {
            Vector256<ushort> some = Vector256.Create(halves.Slice(i, Vector256<ushort>.Count));
            FromHalf(Vector256.WidenLower(some)).CopyTo(values[i..]);
            FromHalf(Vector256.WidenUpper(some)).CopyTo(values[(i + Vector256<float>.Count)..]);
        }
        for (; i < values.Length; i++)
            values[i] = (float)BitConverter.UInt16BitsToHalf(halves[i]);
    }

    // Exponent and fraction at their places in a float are the value times 2^-112, subnormal ones too; infinity and NaN
    // get the float's highest exponent.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> FromHalf(Vector256<uint> halves)
    {
        const float Rebias = 5.192296858534828e33f; // 2^112
        Vector256<uint> magnitude = halves & Vector256.Create(0x7FFFu);
        Vector256<float> finite = (magnitude << 13).AsSingle() * Rebias;
        Vector256<uint> special = Vector256.GreaterThan(magnitude, Vector256.Create(0x7BFFu)) & Vector256.Create(0x7F800000u);
        Vector256<uint> sign = (halves & Vector256.Create(0x8000u)) << 16;
        return (finite.AsUInt32() | special | sign).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FromQ8(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (int i = 0; i < values.Length; i += Q8BlockValues, blocks = blocks[Q8BlockBytes..])
        {
            float scale = (float)BinaryPrimitives.ReadHalfLittleEndian(blocks);
            ReadOnlySpan<sbyte> integers = MemoryMarshal.Cast<byte, sbyte>(blocks[2..Q8BlockBytes]);
            Span<float> some = values[i..Math.Min(i + Q8BlockValues, values.Length)];
            for (int k = 0; k < some.Length; k++)
                some[k] = scale * integers[k];
        }
    }
}
