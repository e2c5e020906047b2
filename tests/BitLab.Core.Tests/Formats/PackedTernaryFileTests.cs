using System.Buffers.Binary;

namespace BitLab.Core.Tests;

public class PackedTernaryFileTests
{
    [Theory]
    [InlineData(1, 1, Granularity.PerTensor)]
    [InlineData(33, 17, Granularity.PerChannel)]
    [InlineData(200, 300, Granularity.PerChannel)]
    public void What_is_written_is_read(int rows, int columns, Granularity granularity)
    {
        using PackedTernaryWeights weights = RandomWeights(rows, columns, granularity);
        using var stream = new MemoryStream();
        PackedTernaryFile.Write(stream, weights);
        stream.WriteByte(77);
        Assert.Equal(64 + weights.ByteCount + 1, stream.Length);
        stream.Position = 0;
        using PackedTernaryWeights read = PackedTernaryFile.Read(stream);
        Assert.Equal(weights, read);
        Assert.Equal(77, stream.ReadByte());
    }

    [Fact]
    public void The_header_says_what_follows()
    {
        byte[] file = FileOf(33, 17, Granularity.PerChannel);
        Assert.Equal("BITLABTW"u8.ToArray(), file[..8]);
        Assert.Equal([1, 1], Enumerable.Range(2, 2).Select(i => BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(4 * i))));
        Assert.Equal([33L, 17L], Enumerable.Range(2, 2).Select(i => BinaryPrimitives.ReadInt64LittleEndian(file.AsSpan(8 * i))));
        Assert.Equal(1, BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(32)));
    }

    [Fact]
    public void Every_cut_is_noticed()
    {
        byte[] file = FileOf(5, 5, Granularity.PerTensor);
        for (int length = 0; length < file.Length; length++)
        {
            string message = Assert.Throws<InvalidDataException>(
                () => PackedTernaryFile.Read(new MemoryStream(file, 0, length), "fc1")).Message;
            Assert.Contains("fc1", message);
        }
    }

    [Fact]
    public void Any_changed_byte_gives_weights_or_a_clear_error()
    {
        byte[] file = FileOf(20, 20, Granularity.PerTensor);
        for (int at = 0; at < file.Length; at++)
        {
            byte[] changed = [.. file];
            changed[at] ^= 0x41;
            try
            {
                using PackedTernaryWeights read = PackedTernaryFile.Read(new MemoryStream(changed));
                Assert.Null(read.FindDamage());
            }
            catch (InvalidDataException)
            {
            }
        }
    }

    [Fact]
    public void A_header_that_claims_gigabytes_allocates_none()
    {
        byte[] file = FileOf(5, 5, Granularity.PerTensor);
        BinaryPrimitives.WriteInt64LittleEndian(file.AsSpan(16), 8_000);
        BinaryPrimitives.WriteInt64LittleEndian(file.AsSpan(24), PackedTernaryWeights.MaxColumns);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<InvalidDataException>(() => PackedTernaryFile.Read(new MemoryStream(file)));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4 << 20);
    }

    [Theory]
    [InlineData(8, 2, "version 2")]
    [InlineData(12, 7, "layout 7")]
    [InlineData(32, 9, "granularity 9")]
    [InlineData(40, 1, "header")]
    [InlineData(64, 0xFF, "three trits")]
    public void Damage_is_named(int at, byte value, string named)
    {
        byte[] file = FileOf(5, 5, Granularity.PerTensor);
        file[at] = value;
        Assert.Contains(
            named, Assert.Throws<InvalidDataException>(() => PackedTernaryFile.Read(new MemoryStream(file))).Message);
    }

    [Fact]
    public void Padding_that_is_not_zero_is_damage()
    {
        byte[] file = FileOf(5, 5, Granularity.PerTensor);
        // Column 15 of row 0 does not exist.
        file[64 + 3] = 0b10_01_01_01;
        Assert.Contains(
            "padding", Assert.Throws<InvalidDataException>(() => PackedTernaryFile.Read(new MemoryStream(file))).Message);
    }

    [Fact]
    public void A_scale_that_is_no_number_is_damage()
    {
        byte[] file = FileOf(5, 5, Granularity.PerTensor);
        BinaryPrimitives.WriteSingleLittleEndian(file.AsSpan(^4), float.NaN);
        Assert.Contains(
            "scale is NaN", Assert.Throws<InvalidDataException>(() => PackedTernaryFile.Read(new MemoryStream(file))).Message);
    }

    private static byte[] FileOf(int rows, int columns, Granularity granularity)
    {
        using PackedTernaryWeights weights = RandomWeights(rows, columns, granularity);
        using var stream = new MemoryStream();
        PackedTernaryFile.Write(stream, weights);
        return stream.ToArray();
    }

    private static PackedTernaryWeights RandomWeights(int rows, int columns, Granularity granularity)
    {
        var random = new Random(rows);
        float[] w = [.. Enumerable.Range(0, rows * columns).Select(_ => (float)(random.NextDouble() - .5))];
        return PackedTernaryWeights.Pack(w, rows, columns, granularity);
    }
}
