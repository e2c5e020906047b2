using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace BitLab.Core;

/// <summary>float32 to the encodings of files, rounded to the nearest, ties to even.</summary>
internal static class FloatEncoding
{
    /// <summary>Encodes values; for Q8_0, whole blocks of 32.</summary>
    public static void Encode(TensorEncoding encoding, ReadOnlySpan<float> values, Span<byte> bytes)
    {
        switch (encoding)
        {
            case TensorEncoding.F32:
                MemoryMarshal.AsBytes(values).CopyTo(bytes);
                break;
            case TensorEncoding.F16:
                Span<Half> halves = MemoryMarshal.Cast<byte, Half>(bytes);
                for (int i = 0; i < values.Length; i++)
                    halves[i] = (Half)values[i];
                break;
            case TensorEncoding.BF16:
                Span<ushort> truncated = MemoryMarshal.Cast<byte, ushort>(bytes);
                for (int i = 0; i < values.Length; i++)
                    truncated[i] = ToBFloat16(values[i]);
                break;
            case TensorEncoding.Q8_0:
                for (int at = 0; at < values.Length; at += FloatDecoding.Q8BlockValues, bytes = bytes[FloatDecoding.Q8BlockBytes..])
                    EncodeQ8(values.Slice(at, FloatDecoding.Q8BlockValues), bytes);
                break;
            default:
                throw new ArgumentException($"{encoding} holds no floats.", nameof(encoding));
        }
    }

    /// <summary>The upper half of a float, rounded; NaN stays NaN.</summary>
    public static ushort ToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>Whether a float is a bfloat16.</summary>
    public static bool IsBFloat16(float value) => (BitConverter.SingleToUInt32Bits(value) & 0xFFFF) == 0;

    // llama.cpp's rule: the largest magnitude becomes 127.
    private static void EncodeQ8(ReadOnlySpan<float> values, Span<byte> bytes)
    {
        float range = 0;
        foreach (float value in values)
            range = MathF.Max(range, MathF.Abs(value));
        float scale = range / 127f, inverse = scale == 0 ? 0 : 1f / scale;
        BinaryPrimitives.WriteHalfLittleEndian(bytes, (Half)scale);
        for (int i = 0; i < values.Length; i++)
            bytes[2 + i] = (byte)(sbyte)MathF.Round(values[i] * inverse);
    }
}
