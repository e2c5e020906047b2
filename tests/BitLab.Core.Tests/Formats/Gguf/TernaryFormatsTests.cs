using System.Buffers.Binary;

namespace BitLab.Core.Tests;

/// <summary>llama.cpp's and bitnet.cpp's packings against bytes that their descriptions give, and against loops that follow
/// them.</summary>
public sealed class TernaryFormatsTests
{
    private const string I2Golden = "2664444889999112222664444889999112222664444889999112222664444889";
    private const string Tq2Golden = "981911216266468488981911216266468488981911216266468488981911216211"
        + "216266468488981911216266468488981911216266468488981911216266460038";

    private const string Tq1Golden = "4a99616bc3decb23414a99616bc3decb23414a99616bc3decb23414a99616bc3"
        + "465018705d7bcad3ee465018705d7bcadb33203d0038";

    [Fact]
    public void Goldens_are_written_and_read()
    {
        sbyte[] trits = Pattern(128);
        byte[] i2 = new byte[32];
        StridedPacking.PackRow(TensorEncoding.I2_S, trits, .5f, i2);
        Assert.Equal(I2Golden, Convert.ToHexStringLower(i2));
        Assert.Equal(trits, Unpack(TensorEncoding.I2_S, Convert.FromHexString(I2Golden), 1, 128));

        trits = Pattern(256);
        byte[] tq2 = new byte[66], tq1 = new byte[54];
        StridedPacking.PackRow(TensorEncoding.TQ2_0, trits, .5f, tq2);
        Assert.Equal(Tq2Golden, Convert.ToHexStringLower(tq2));
        Base3Packing.PackRow(trits, .5f, tq1);
        Assert.Equal(Tq1Golden, Convert.ToHexStringLower(tq1));
        Assert.Equal(trits, Unpack(TensorEncoding.TQ2_0, Convert.FromHexString(Tq2Golden), 1, 256));
        Assert.Equal(trits, Unpack(TensorEncoding.TQ1_0, Convert.FromHexString(Tq1Golden), 1, 256));
    }

    [Theory]
    [InlineData((sbyte)0, 0x55)]
    [InlineData((sbyte)1, 0xAA)]
    [InlineData((sbyte)-1, 0x00)]
    public void Equal_trits_are_equal_bytes(sbyte trit, byte expected)
    {
        byte[] bytes = new byte[32];
        StridedPacking.PackRow(TensorEncoding.I2_S, [.. Enumerable.Repeat(trit, 128)], 1, bytes);
        Assert.All(bytes, value => Assert.Equal(expected, value));
    }

    public static TheoryData<TensorEncoding, int, int> Shapes()
    {
        var shapes = new TheoryData<TensorEncoding, int, int>();
        foreach (TensorEncoding encoding in (TensorEncoding[])[TensorEncoding.I2_S, TensorEncoding.TQ1_0, TensorEncoding.TQ2_0])
        {
            foreach (int rows in (int[])[1, 2, 3, 4, 5, 31, 32, 33, 63, 64, 100, 160])
            {
                foreach (int columns in (int[])[256, 512, 768])
                    shapes.Add(encoding, rows, columns);
                if (encoding == TensorEncoding.I2_S)
                    shapes.Add(encoding, rows, 384);
            }
        }
        return shapes;
    }

    [Theory, MemberData(nameof(Shapes))]
    public void Packing_and_unpacking_agree_with_loops_over_values(TensorEncoding encoding, int rows, int columns)
    {
        var random = new Random((rows * 1000) + columns);
        sbyte[] trits = [.. Enumerable.Range(0, rows * columns).Select(_ => (sbyte)random.Next(-1, 2))];
        byte[] expected = SlowGguf.Pack(encoding, trits, columns, .25f);
        byte[] packed = new byte[expected.Length];
        int rowBytes = packed.Length / rows;
        for (int row = 0; row < rows; row++)
        {
            Span<byte> bytes = packed.AsSpan(row * rowBytes, rowBytes);
            if (encoding == TensorEncoding.TQ1_0)
                Base3Packing.PackRow(trits.AsSpan(row * columns, columns), .25f, bytes);
            else
                StridedPacking.PackRow(encoding, trits.AsSpan(row * columns, columns), .25f, bytes);
        }
        Assert.Equal(expected, packed);
        Assert.Equal(trits, SlowGguf.Unpack(encoding, packed, columns));
        Assert.Equal(trits, Unpack(encoding, packed, rows, columns));
    }

    [Fact]
    public void Every_byte_of_five_trits_is_decoded_as_the_description_says()
    {
        byte[] block = new byte[54];
        for (int value = 0; value < 256; value++)
        {
            block.AsSpan(0, 52).Fill((byte)value);
            Assert.Equal(SlowGguf.Unpack(TensorEncoding.TQ1_0, block, 256), Unpack(TensorEncoding.TQ1_0, block, 1, 256));
        }
    }

    [Fact]
    public void The_fourth_code_is_zero_in_one_format_and_an_error_in_the_other()
    {
        byte[] i2 = [.. Enumerable.Repeat((byte)0b11_00_01_10, 32)];
        sbyte[] trits = Unpack(TensorEncoding.I2_S, i2, 1, 128);
        Assert.Equal([0, -1, 0, 1], [trits[0], trits[32], trits[64], trits[96]]);
        byte[] tq2 = [.. Enumerable.Repeat((byte)0b01_01_11_01, 64), 0, 0x38];
        using PackedTernaryWeights weights = PackedTernaryWeights.AllocateForWholeRows(1, 256, Granularity.PerTensor);
        Assert.False(UnpackInto(TensorEncoding.TQ2_0, tq2, weights, default));
    }

    [Fact]
    public void Rows_of_rotated_heads_go_there_and_back()
    {
        var order = new RowOrder(8);
        Assert.Equal([0, 2, 4, 6, 1, 3, 5, 7, 8, 10], Enumerable.Range(0, 10).Select(order.InFile));
        Assert.Equal(Enumerable.Range(0, 64), Enumerable.Range(0, 64).Select(row => order.FromFile(order.InFile(row))));
        sbyte[] trits = Pattern(64 * 256);
        byte[] packed = SlowGguf.Pack(TensorEncoding.TQ2_0, [.. Enumerable.Range(0, 64).SelectMany(
            row => trits.Skip(order.FromFile(row) * 256).Take(256))], 256, 1);
        Assert.Equal(trits, Unpack(TensorEncoding.TQ2_0, packed, 64, 256, order));
    }

    private static sbyte[] Pattern(int count) =>
        [.. Enumerable.Range(0, count).Select(k => ((sbyte[])[-1, 0, 1])[((k * k) + (k / 3)) % 3])];

    private static sbyte[] Unpack(TensorEncoding encoding, byte[] packed, int rows, int columns, RowOrder order = default)
    {
        using PackedTernaryWeights weights = PackedTernaryWeights.AllocateForWholeRows(rows, columns, Granularity.PerTensor);
        weights.RentedScales.Fill(1);
        Assert.True(UnpackInto(encoding, packed, weights, order));
        Assert.Null(weights.FindDamage());
        sbyte[] trits = new sbyte[rows * columns];
        weights.Unpack(trits);
        return trits;
    }

    private static unsafe bool UnpackInto(TensorEncoding encoding, byte[] packed, PackedTernaryWeights weights, RowOrder order)
    {
        fixed (byte* bytes = packed)
        {
            if (encoding != TensorEncoding.TQ1_0)
                return StridedPacking.Unpack(bytes, encoding, weights, order);
            Base3Packing.Unpack(bytes, weights, order);
            return true;
        }
    }
}

/// <summary>The ternary formats of GGUF files, a value at a time.</summary>
internal static class SlowGguf
{
    public static byte[] Pack(TensorEncoding encoding, sbyte[] trits, int columns, float scale)
    {
        var bytes = new List<byte>();
        int unit = encoding == TensorEncoding.I2_S ? 128 : 256;
        for (int at = 0; at < trits.Length; at += unit)
        {
            sbyte[] some = trits[at..(at + unit)];
            byte[] block = new byte[encoding switch { TensorEncoding.I2_S => 32, TensorEncoding.TQ2_0 => 66, _ => 54 }];
            for (int k = 0; k < unit; k++)
            {
                int code = some[k] + 1;
                if (encoding == TensorEncoding.I2_S)
                    block[k % 32] |= (byte)(code << (6 - (2 * (k / 32))));
                else if (encoding == TensorEncoding.TQ2_0)
                    block[(k / 128 * 32) + (k % 32)] |= (byte)(code << (2 * (k % 128 / 32)));
            }
            if (encoding == TensorEncoding.TQ1_0)
            {
                for (int index = 0; index < 52; index++)
                {
                    int value = 0;
                    foreach (int k in Columns(index))
                        value = (value * 3) + some[k] + 1;
                    if (index >= 48)
                        value *= 3;
                    block[index] = (byte)Math.Ceiling(value * 256 / 243.0);
                }
            }
            if (encoding != TensorEncoding.I2_S)
                BinaryPrimitives.WriteHalfLittleEndian(block.AsSpan()[^2..], (Half)scale);
            bytes.AddRange(block);
        }
        return [.. bytes];
    }

    public static sbyte[] Unpack(TensorEncoding encoding, byte[] bytes, int columns)
    {
        (int unit, int blockBytes) = encoding switch
        {
            TensorEncoding.I2_S => (128, 32),
            TensorEncoding.TQ2_0 => (256, 66),
            _ => (256, 54),
        };
        var trits = new sbyte[bytes.Length / blockBytes * unit];
        for (int block = 0; block < bytes.Length / blockBytes; block++)
        {
            ReadOnlySpan<byte> some = bytes.AsSpan(block * blockBytes, blockBytes);
            if (encoding == TensorEncoding.TQ1_0)
            {
                for (int index = 0; index < 52; index++)
                {
                    int power = 1;
                    foreach (int k in Columns(index))
                    {
                        byte shifted = unchecked((byte)(some[index] * power));
                        trits[(block * unit) + k] = (sbyte)(((shifted * 3) >> 8) - 1);
                        power *= 3;
                    }
                }
                continue;
            }
            for (int k = 0; k < unit; k++)
            {
                int code = encoding == TensorEncoding.I2_S
                    ? some[k % 32] >> (6 - (2 * (k / 32)))
                    : some[(k / 128 * 32) + (k % 32)] >> (2 * (k % 128 / 32));
                trits[(block * unit) + k] = (sbyte)((code & 3) - 1);
            }
        }
        Assert.Equal(0, trits.Length % columns);
        return trits;
    }

    // The columns of a TQ1_0 byte, the most significant first.
    private static IEnumerable<int> Columns(int index) => index < 32 ? Enumerable.Range(0, 5).Select(n => index + (32 * n))
        : index < 48 ? Enumerable.Range(0, 5).Select(n => 160 + (index - 32) + (16 * n))
        : Enumerable.Range(0, 4).Select(m => 240 + (index - 48) + (4 * m));
}
