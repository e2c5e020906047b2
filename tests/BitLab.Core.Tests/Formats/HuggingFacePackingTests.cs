namespace BitLab.Core.Tests;

public sealed unsafe class HuggingFacePackingTests
{
    [Fact]
    public void The_published_example_is_unpacked()
    {
        Assert.Equal(
            [0, -1, -1, 1, -1, 1, -1, 1, 1, 0, 0, -1, 1, -1, 1, -1],
            Unpack([0xA1, 0x18, 0x90, 0x0A], rows: 8, columns: 2));
        Assert.Equal([1, 0, -1, 1, 1], Unpack([0x22, 0x09], rows: 5, columns: 1));
    }

    public static TheoryData<int, int> Shapes()
    {
        var shapes = new TheoryData<int, int>();
        foreach (int rows in (int[])[1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 33, 48, 64, 100, 127, 128, 160, 640])
        {
            foreach (int columns in (int[])[1, 3, 15, 16, 17, 64, 80, 200])
                shapes.Add(rows, columns);
        }
        return shapes;
    }

    [Theory, MemberData(nameof(Shapes))]
    public void Unpacking_gives_the_trits_that_were_packed(int rows, int columns)
    {
        var random = new Random((rows * 1000) + columns);
        sbyte[] trits = [.. Enumerable.Range(0, rows * columns).Select(_ => (sbyte)random.Next(-1, 2))];
        byte[] packed = TinyModel.HuggingFace(trits, rows, columns);
        Assert.Equal(trits, Unpack(packed, rows, columns));
    }

    private static sbyte[] Unpack(byte[] packed, int rows, int columns)
    {
        using PackedTernaryWeights weights =
            PackedTernaryWeights.Allocate(rows, columns, Granularity.PerTensor, WeightPacking.TwoBit);
        weights.RentedScales.Fill(1);
        fixed (byte* bytes = packed)
            Assert.True(HuggingFacePacking.Unpack(bytes, weights));
        Assert.Null(weights.FindDamage());
        sbyte[] trits = new sbyte[rows * columns];
        weights.Unpack(trits);
        return trits;
    }
}
