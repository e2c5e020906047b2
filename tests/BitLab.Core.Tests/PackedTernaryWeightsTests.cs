using CsCheck;

namespace BitLab.Core.Tests;

[Collection(nameof(CountsWeightBytes))]
public class PackedTernaryWeightsTests
{
    [Theory]
    [InlineData(1, 1, 128)]
    [InlineData(32, 16, 128)]
    [InlineData(33, 16, 256)]
    [InlineData(32, 17, 256)]
    [InlineData(4096, 4096, 4096 * 4096 / 4)]
    public void Two_bits_a_weight_plus_padding(int rows, int columns, long bytes) =>
        Assert.Equal(bytes, PackedTernaryWeights.PackedSize(rows, columns));

    [Fact]
    public void A_byte_holds_the_columns_that_the_layout_says()
    {
        // Row 17 is lane 1 of the second block; its word's byte 2 holds columns 2, 6, 10 and 14.
        sbyte[] trits = new sbyte[18 * 16];
        trits[(17 * 16) + 2] = 1;
        trits[(17 * 16) + 6] = -1;
        trits[(17 * 16) + 14] = 1;
        using var packed = PackedTernaryWeights.FromTrits(trits, [1f], 18, 16, Granularity.PerTensor);
        Assert.Equal(0b10_01_00_10, packed.Panel(0)[64 + 4 + 2]);
        Assert.Equal(127, packed.Panel(0).ToArray().Count(b => b == 0x55));
    }

    [Fact]
    public void Packing_and_unpacking_any_trits_changes_nothing() =>
        GenMatrix.Sample((rows, columns, seed) =>
        {
            var random = new Random(seed);
            sbyte[] trits = [.. Enumerable.Range(0, rows * columns).Select(_ => (sbyte)random.Next(-1, 2))];
            using var packed = PackedTernaryWeights.FromTrits(trits, [.5f], rows, columns, Granularity.PerTensor);
            sbyte[] unpacked = new sbyte[trits.Length];
            packed.Unpack(unpacked);
            Assert.Equal(trits, unpacked);
            float[] weights = new float[trits.Length];
            packed.Unpack(weights);
            Assert.Equal(trits.Select(t => t * .5f), weights);
            Assert.Null(packed.FindDamage());
        });

    [Fact]
    public void Packing_floats_is_quantizing_them_by_absmean() =>
        GenMatrix.Sample((rows, columns, seed) =>
        {
            var random = new Random(seed);
            float[] w = [.. Enumerable.Range(0, rows * columns).Select(_ => (float)(random.NextDouble() - .5))];
            using var perTensor = PackedTernaryWeights.Pack(w, rows, columns, Granularity.PerTensor);
            using var perChannel = PackedTernaryWeights.Pack(w, rows, columns, Granularity.PerChannel);
            Assert.Equal([Absmean.Scale(w)], perTensor.Scales.ToArray());
            sbyte[] expected = new sbyte[w.Length], unpacked = new sbyte[w.Length];
            Absmean.Quantize(w, Absmean.Scale(w), expected);
            perTensor.Unpack(unpacked);
            Assert.Equal(expected, unpacked);
            for (int row = 0; row < rows; row++)
            {
                Span<float> rowWeights = w.AsSpan(row * columns, columns);
                Assert.Equal(Absmean.Scale(rowWeights), perChannel.Scales[row]);
                Absmean.Quantize(rowWeights, perChannel.Scales[row], expected.AsSpan(row * columns, columns));
            }
            perChannel.Unpack(unpacked);
            Assert.Equal(expected, unpacked);
        });

    [Fact]
    public void Memory_is_aligned_counted_and_freed()
    {
        long before = BitLabRuntime.WeightBytesHeld;
        var packed = PackedTernaryWeights.Pack(new float[100 * 50], 100, 50, Granularity.PerChannel);
        Assert.Equal((4 * 4 * 128) + 400, packed.ByteCount);
        Assert.Equal(before + packed.ByteCount, BitLabRuntime.WeightBytesHeld);
        unsafe
        {
            Assert.Equal(0, (nint)packed.RentedData % 64);
        }
        packed.Dispose();
        packed.Dispose();
        Assert.Equal(before, BitLabRuntime.WeightBytesHeld);
    }

    [Fact]
    public void A_failed_packing_leaves_no_memory_behind()
    {
        long before = BitLabRuntime.WeightBytesHeld;
        float[] w = [1, float.NaN];
        string message = Assert.Throws<QuantizationException>(
            () => PackedTernaryWeights.Pack(w, 1, 2, Granularity.PerChannel, "encoder.fc1")).Message;
        Assert.Contains("encoder.fc1[0]", message);
        Assert.Equal(before, BitLabRuntime.WeightBytesHeld);
    }

    [Fact]
    public void Disposed_weights_say_so()
    {
        var packed = PackedTernaryWeights.Pack([1f], 1, 1, Granularity.PerTensor);
        packed.Dispose();
        Assert.Throws<ObjectDisposedException>(() => packed.Unpack(new sbyte[1]));
        Assert.Throws<ObjectDisposedException>(() => packed.Scales.Length);
        Assert.Throws<ObjectDisposedException>(
            () => TernaryLinear.Forward(packed, BitQuantConfig.Default, [1f], [], new float[1]));
    }

    [Fact]
    public void Equality_looks_at_shape_trits_and_scales()
    {
        using var a = PackedTernaryWeights.FromTrits([1, 0, -1, 0], [1f], 2, 2, Granularity.PerTensor);
        using var same = PackedTernaryWeights.FromTrits([1, 0, -1, 0], [1f], 2, 2, Granularity.PerTensor);
        using var otherTrit = PackedTernaryWeights.FromTrits([1, 0, -1, 1], [1f], 2, 2, Granularity.PerTensor);
        using var otherScale = PackedTernaryWeights.FromTrits([1, 0, -1, 0], [2f], 2, 2, Granularity.PerTensor);
        using var otherShape = PackedTernaryWeights.FromTrits([1, 0, -1, 0], [1f], 1, 4, Granularity.PerTensor);
        Assert.Equal(a, same);
        Assert.Equal(a.GetHashCode(), same.GetHashCode());
        Assert.NotEqual(a, otherTrit);
        Assert.NotEqual(a, otherScale);
        Assert.NotEqual(a, otherShape);
    }

    [Fact]
    public void Shapes_that_cannot_be_are_refused_with_their_numbers()
    {
        Assert.Contains("(0, 4)", Assert.Throws<ArgumentException>(() => PackedTernaryWeights.PackedSize(0, 4)).Message);
        Assert.Contains("(2, 3)", Assert.Throws<ArgumentException>(
            () => PackedTernaryWeights.Pack(new float[5], 2, 3, Granularity.PerTensor)).Message);
        Assert.Contains("524289", Assert.Throws<ArgumentException>(
            () => PackedTernaryWeights.PackedSize(1, PackedTernaryWeights.MaxColumns + 1)).Message);
        Assert.Contains("is 2", Assert.Throws<ArgumentException>(
            () => PackedTernaryWeights.FromTrits([2], [1f], 1, 1, Granularity.PerTensor)).Message);
        Assert.Contains("2 scales", Assert.Throws<ArgumentException>(
            () => PackedTernaryWeights.FromTrits([1, 1], [1f], 2, 1, Granularity.PerChannel)).Message);
    }

    private static Gen<(int, int, int)> GenMatrix => Gen.Select(Gen.Int[1, 70], Gen.Int[1, 70], Gen.Int);
}
