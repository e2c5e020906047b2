using System.Runtime.InteropServices;

namespace BitLab.Core.Tests;

public sealed class FloatEncodingTests
{
    [Fact]
    public void Every_float_of_16_bits_is_decoded_to_its_value()
    {
        ushort[] bits = [.. Enumerable.Range(0, 1 << 16).Select(i => (ushort)i)];
        float[] halves = new float[bits.Length], truncated = new float[bits.Length];
        FloatDecoding.Decode(TensorEncoding.F16, MemoryMarshal.AsBytes<ushort>(bits), halves);
        FloatDecoding.Decode(TensorEncoding.BF16, MemoryMarshal.AsBytes<ushort>(bits), truncated);
        for (int i = 0; i < bits.Length; i++)
        {
            Assert.Equal((float)BitConverter.UInt16BitsToHalf(bits[i]), halves[i]);
            Assert.Equal((uint)i << 16, BitConverter.SingleToUInt32Bits(truncated[i]));
        }
    }

    [Theory]
    [InlineData(TensorEncoding.F16)]
    [InlineData(TensorEncoding.BF16)]
    [InlineData(TensorEncoding.F32)]
    public void What_is_decoded_is_encoded_to_the_same_bytes(TensorEncoding encoding)
    {
        int size = encoding == TensorEncoding.F32 ? 4 : 2;
        byte[] bytes = new byte[size << 16];
        for (int i = 0; i < 1 << 16; i++)
            BitConverter.TryWriteBytes(bytes.AsSpan(i * size), (ushort)i);
        float[] values = new float[1 << 16];
        FloatDecoding.Decode(encoding, bytes, values);
        byte[] back = new byte[bytes.Length];
        FloatEncoding.Encode(encoding, values, back);
        for (int i = 0; i < values.Length; i++)
        {
            // NaN stays NaN; which one does not matter.
            if (!float.IsNaN(values[i]))
                Assert.Equal(bytes.AsSpan(i * size, size), back.AsSpan(i * size, size));
        }
    }

    [Theory]
    [InlineData(0x3F808000u, 0x3F80)]
    [InlineData(0x3F818000u, 0x3F82)]
    [InlineData(0x3F808001u, 0x3F81)]
    [InlineData(0x7F7FFFFFu, 0x7F80)]
    [InlineData(0xFF800000u, 0xFF80)]
    [InlineData(0x7F800001u, 0x7FC0)]
    public void Bfloat16_is_rounded_to_the_nearest_ties_to_even(uint bits, int expected) =>
        Assert.Equal(expected, FloatEncoding.ToBFloat16(BitConverter.UInt32BitsToSingle(bits)));

    [Fact]
    public void A_block_of_Q8_is_32_bytes_and_a_half()
    {
        float[] values = [.. Enumerable.Range(0, 32).Select(i => (i - 16) / 4f)];
        byte[] bytes = new byte[34];
        FloatEncoding.Encode(TensorEncoding.Q8_0, values, bytes);
        // The largest magnitude, 4, becomes 127: the scale is 4 / 127.
        Assert.Equal((Half)(4f / 127), BitConverter.ToHalf(bytes));
        Assert.Equal([-127, -119, 0, 8], [(sbyte)bytes[2], (sbyte)bytes[3], (sbyte)bytes[18], (sbyte)bytes[19]]);
        byte[] byHand = [0x00, 0x38, 1, 255, 127, 128, .. new byte[28]];
        float[] read = new float[32];
        FloatDecoding.Decode(TensorEncoding.Q8_0, byHand, read);
        Assert.Equal([.5f, -.5f, 63.5f, -64, 0], read[..5]);
    }
}
