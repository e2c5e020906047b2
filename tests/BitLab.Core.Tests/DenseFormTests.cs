using CsCheck;

namespace BitLab.Core.Tests;

public class DenseFormTests
{
    [Fact]
    public void Any_matrix_comes_back() =>
        Gen.Select(Gen.Int[1, 70], Gen.Int[1, 400], Gen.Int, Gen.Bool).Sample((rows, columns, seed, perChannel) =>
        {
            sbyte[] trits = RandomTrits(seed, rows * columns), unpacked = new sbyte[trits.Length];
            using PackedTernaryWeights twoBit = TwoBit(trits, rows, columns, perChannel);
            using PackedTernaryWeights dense = twoBit.Repack(WeightPacking.Dense);
            Assert.Equal(WeightPacking.Dense, dense.Packing);
            Assert.Equal(PackedTernaryWeights.PackedSize(rows, columns, WeightPacking.Dense), dense.PackedBytes);
            Assert.Null(dense.FindDamage());
            dense.Unpack(unpacked);
            Assert.Equal(trits, unpacked);
            float[] floats = new float[trits.Length], expected = new float[trits.Length];
            dense.Unpack(floats);
            twoBit.Unpack(expected);
            Assert.Equal(expected, floats);
            using PackedTernaryWeights back = dense.Repack(WeightPacking.TwoBit), again = dense.Repack(WeightPacking.Dense);
            Assert.Equal(twoBit, back);
            Assert.Equal(dense, again);
            Assert.NotEqual(twoBit, dense);
        });

    // By docs/packed-layout.md, written down once more.
    [Fact]
    public unsafe void Each_trit_lies_where_the_documentation_says()
    {
        const int Rows = 40, Columns = 170;
        sbyte[] trits = RandomTrits(1, Rows * Columns);
        using PackedTernaryWeights twoBit = TwoBit(trits, Rows, Columns, perChannel: false);
        using PackedTernaryWeights dense = twoBit.Repack(WeightPacking.Dense);
        int[] powers = [1, 3, 9, 27, 81];
        const int Groups = (Columns + 79) / 80;
        for (int row = 0; row < 64; row++)
        {
            for (int column = 0; column < Groups * 80; column++)
            {
                int inGroup = column % 80;
                int step = inGroup < 64 ? inGroup / 16 : (inGroup - 64) / 4, digit = inGroup < 64 ? inGroup % 16 / 4 : 4;
                int at = (((row / 32 * Groups) + (column / 80)) * 512) + (step * 128) + (row % 32 * 4) + (column % 4);
                int expected = row < Rows && column < Columns ? trits[(row * Columns) + column] : 0;
                Assert.Equal(expected, (dense.RentedData[at] / powers[digit] % 3) - 1);
            }
        }
    }

    [Fact]
    public void It_takes_a_fifth_less()
    {
        Assert.Equal(4096L * 80 / 4, PackedTernaryWeights.PackedSize(4096, 80));
        Assert.Equal(4096L * 80 / 5, PackedTernaryWeights.PackedSize(4096, 80, WeightPacking.Dense));
        Assert.Throws<ArgumentException>(() => PackedTernaryWeights.PackedSize(1, 1, (WeightPacking)3));
    }

    [Theory, InlineData(1, 1), InlineData(33, 85), InlineData(70, 160)]
    public void A_file_holds_it(int rows, int columns)
    {
        using PackedTernaryWeights twoBit = TwoBit(RandomTrits(3, rows * columns), rows, columns, perChannel: true);
        using PackedTernaryWeights dense = twoBit.Repack(WeightPacking.Dense);
        using var stream = new MemoryStream();
        PackedTernaryFile.Write(stream, dense);
        stream.Position = 0;
        using PackedTernaryWeights read = PackedTernaryFile.Read(stream);
        Assert.Equal(dense, read);
    }

    [Fact]
    public void Any_changed_byte_of_a_file_gives_weights_or_a_clear_error()
    {
        using PackedTernaryWeights twoBit = TwoBit(RandomTrits(4, 20 * 90), 20, 90, perChannel: false);
        using PackedTernaryWeights dense = twoBit.Repack(WeightPacking.Dense);
        using var stream = new MemoryStream();
        PackedTernaryFile.Write(stream, dense);
        byte[] file = stream.ToArray();
        int refused = 0;
        for (int at = 64; at < file.Length; at++)
        {
            byte[] changed = [.. file];
            changed[at] ^= 0x80;
            try
            {
                using PackedTernaryWeights read = PackedTernaryFile.Read(new MemoryStream(changed));
                Assert.Null(read.FindDamage());
            }
            catch (InvalidDataException)
            {
                refused++;
            }
        }
        // All bytes of the padding, and those that became larger than 242.
        Assert.InRange(refused, 300, file.Length);
    }

    [Fact]
    public unsafe void Padding_that_is_not_zero_is_damage()
    {
        using PackedTernaryWeights twoBit = TwoBit(RandomTrits(5, 32 * 100), 32, 100, perChannel: false);
        for (int column = 100; column < 160; column++)
        {
            using PackedTernaryWeights dense = twoBit.Repack(WeightPacking.Dense);
            int inGroup = column % 80;
            int step = inGroup < 64 ? inGroup / 16 : (inGroup - 64) / 4;
            int power = inGroup < 64 ? (int)Math.Pow(3, inGroup % 16 / 4) : 81;
            dense.RentedData[512 + (step * 128) + (column % 4)] += (byte)power;
            Assert.NotNull(dense.FindDamage());
        }
    }

    private static PackedTernaryWeights TwoBit(sbyte[] trits, int rows, int columns, bool perChannel) =>
        PackedTernaryWeights.FromTrits(
            trits,
            [.. Enumerable.Range(1, perChannel ? rows : 1).Select(i => i / 8f)],
            rows, columns,
            perChannel ? Granularity.PerChannel : Granularity.PerTensor);

    private static sbyte[] RandomTrits(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (sbyte)random.Next(-1, 2))];
    }
}
