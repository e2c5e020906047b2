using System.Buffers.Binary;
using System.Text;

namespace BitLab.Core.Tests;

public sealed class SafetensorsFileTests : IDisposable
{
    private readonly string path = Path.GetTempFileName();

    public void Dispose() => File.Delete(path);

    [Fact]
    public void A_file_written_by_hand_is_read()
    {
        Write("""{"__metadata__":{"format":"pt"},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}""",
            [0, 0, 128, 63, 0, 0, 0, 64, 7, 8, 9]);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.Equal("pt", file.Metadata["format"]);
        Assert.Equal(["b", "a"], file.Entries.Keys);
        Assert.Equal((SafetensorsDtype.F32, 8L), (file.Entries["a"].Dtype, file.Entries["a"].ByteCount));
        Assert.Equal([1L, 2L], file.Entries["a"].Shape);
        byte[] a = new byte[8], b = new byte[3];
        file.Read(file.Entries["a"], a);
        file.Read(file.Entries["b"], b);
        Assert.Equal([1f, 2f], [BitConverter.ToSingle(a), BitConverter.ToSingle(a, 4)]);
        Assert.Equal([7, 8, 9], b);
        Assert.Throws<ArgumentException>(() => file.Read(file.Entries["a"], b));
    }

    [Fact]
    public void What_is_written_begins_at_a_multiple_of_64()
    {
        SafetensorsWriter.Write(path, [("x", SafetensorsDtype.I16, [2, 2], stream => stream.Write([1, 2, 3, 4, 5, 6, 7, 8]))]);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.Equal(0, file.Entries["x"].Offset % 64);
        byte[] bytes = new byte[8];
        file.Read(file.Entries["x"], bytes);
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8], bytes);
    }

    [Fact]
    public void A_tensor_is_mapped_and_outlives_its_file()
    {
        SafetensorsWriter.Write(path, [("x", SafetensorsDtype.U8, [3], stream => stream.Write([1, 2, 3])), ("none", SafetensorsDtype.U8, [0], _ => { })]);
        SafetensorsFile file = SafetensorsFile.Open(path);
        using MappedBytes bytes = file.Map(file.Entries["x"]);
        Assert.Throws<ArgumentException>(() => file.Map(file.Entries["none"]));
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => file.Map(file.Entries["x"]));
        Assert.Equal([2, 3], bytes.Slice(1, 2).ToArray());
        Assert.Throws<ArgumentOutOfRangeException>(() => bytes.Slice(2, 2).Length);
        bytes.Dispose();
        Assert.Throws<ObjectDisposedException>(() => bytes.Slice(0, 1).Length);
    }

    [Fact]
    public void A_writer_that_announces_something_else_is_refused()
    {
        Assert.Contains("'x'", Assert.Throws<ArgumentException>(() => SafetensorsWriter.Write(
            path + "x", [("x", SafetensorsDtype.I16, [2], stream => stream.WriteByte(1))])).Message);
        Assert.False(File.Exists(path + "x"));
        Assert.Contains("twice", Assert.Throws<ArgumentException>(() => SafetensorsWriter.Write(
            path + "x", [("x", SafetensorsDtype.U8, [0], _ => { }), ("x", SafetensorsDtype.U8, [0], _ => { })])).Message);
    }

    [Theory]
    [InlineData("""{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,7]}}""", "'t'")]
    [InlineData("""{"t":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}""", "'t'")]
    [InlineData("""{"t":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", "'t'")]
    [InlineData("""{"t":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}""", "'t'")]
    [InlineData("""{"t":{"dtype":"F32","shape":[9223372036854775807,9223372036854775807,4],"data_offsets":[0,8]}}""", "'t'")]
    [InlineData("""{"t":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}""", "'t'")]
    [InlineData("""{"t":{"dtype":"F32","shape":[1e99],"data_offsets":[0,8]}}""", "1e99")]
    [InlineData("""{"t":{"dtype":"F32","shape":2,"data_offsets":[0,8]}}""", "shape")]
    [InlineData("""{"t":{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}}""", "Q4")]
    [InlineData("""{"t":{"dtype":"0","shape":[2],"data_offsets":[0,8]}}""", "'0'")]
    [InlineData("""{"t":{"dtype":"BOOL","shape":[2],"data_offsets":[0,7]}}""", "'t'")]
    [InlineData("""{"t":{"dtype":"F32,F16","shape":[4],"data_offsets":[0,8]}}""", "F32,F16")]
    [InlineData("""{"t":{"dtype":" F32","shape":[2],"data_offsets":[0,8]}}""", "' F32'")]
    [InlineData("""{"t":{"dtype":"F32","shape":[2]}}""", "data_offsets")]
    [InlineData("""{"t":5}""", "'t'")]
    [InlineData("""{"t":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"u":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}""", "overlap")]
    [InlineData("""{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", "twice")]
    [InlineData("""{"__metadata__":{"a":1}}""", "'a'")]
    [InlineData("""{"__metadata__":[]}""", "__metadata__")]
    [InlineData("[]", "object")]
    [InlineData("{", "JSON")]
    [InlineData("""{"t":[[[[[[[[[[[[1]]]]]]]]]]]]}""", "JSON")]
    public void Hostile_headers_are_named(string header, string named)
    {
        Write(header, new byte[8]);
        string message = Assert.Throws<InvalidDataException>(() => SafetensorsFile.Open(path)).Message;
        Assert.Contains(path, message);
        Assert.Contains(named, message);
    }

    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData((ulong)long.MaxValue)]
    [InlineData(99_999_999UL)]
    [InlineData(100_000_001UL)]
    public void A_header_length_that_lies_allocates_nothing(ulong length)
    {
        byte[] file = new byte[100];
        BinaryPrimitives.WriteUInt64LittleEndian(file, length);
        File.WriteAllBytes(path, file);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Contains(length.ToString(), Assert.Throws<InvalidDataException>(() => SafetensorsFile.Open(path)).Message);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    [Fact]
    public void Every_cut_is_noticed()
    {
        SafetensorsWriter.Write(path, [("x", SafetensorsDtype.U8, [4], stream => stream.Write([1, 2, 3, 4]))]);
        byte[] whole = File.ReadAllBytes(path);
        for (int length = 0; length < whole.Length; length++)
        {
            File.WriteAllBytes(path, whole[..length]);
            Assert.Throws<InvalidDataException>(() => SafetensorsFile.Open(path));
        }
    }

    private void Write(string header, byte[] data)
    {
        byte[] json = Encoding.UTF8.GetBytes(header);
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, json.Length);
        File.WriteAllBytes(path, [.. length, .. json, .. data]);
    }
}
