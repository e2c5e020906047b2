using System.Text;

namespace BitLab.Core.Tests;

public sealed class GgufFileTests : IDisposable
{
    private readonly string path = Path.GetTempFileName();

    public void Dispose() => File.Delete(path);

    [Fact]
    public void A_file_written_by_hand_is_read()
    {
        byte[] file =
        [
            .. "GGUF"u8, 3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
            3, 0, 0, 0, 0, 0, 0, 0, .. "a.b"u8, 8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, .. "hi"u8,
            1, 0, 0, 0, 0, 0, 0, 0, .. "n"u8, 9, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 255, 255, 255, 255,
            1, 0, 0, 0, 0, 0, 0, 0, .. "w"u8, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0, .. "x"u8, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        byte[] padding = new byte[(32 - (file.Length % 32)) % 32];
        File.WriteAllBytes(path, [.. file, .. padding, 0, 0, 128, 63, .. new byte[28], 1, 2, 3, 4, 5, 6]);
        using GgufFile gguf = GgufFile.Open(path);
        Assert.Equal((3, 32, false), (gguf.Version, gguf.Alignment, gguf.HasBitNetTypes));
        Assert.Equal("hi", gguf.Metadata["a.b"].AsString());
        Assert.Equal([7, -1], gguf.Metadata["n"].AsArray<int>());
        Assert.Equal(["w", "x"], gguf.Tensors.Keys);
        GgufTensor w = gguf.Tensors["w"];
        Assert.Equal((GgufTensorType.I8, 6L), (w.Type, w.ByteCount));
        Assert.Equal([2L, 3L], w.Shape);
        using MappedBytes bytes = gguf.Map(w), x = gguf.Map(gguf.Tensors["x"]);
        Assert.Equal([1, 2, 3, 4, 5, 6], bytes.Slice(0, 6).ToArray());
        Assert.Equal(1f, BitConverter.ToSingle(x.Slice(0, 4)));
        Assert.Throws<ArgumentOutOfRangeException>(() => bytes.Slice(1, 6).Length);
        Assert.Throws<InvalidOperationException>(() => gguf.Metadata["n"].AsString());
        gguf.Dispose();
        Assert.Throws<ObjectDisposedException>(() => gguf.Map(w));
        Assert.Equal(6, bytes.Slice(5, 1)[0]);
    }

    [Fact]
    public void Every_type_of_metadata_is_written_and_read_back()
    {
        GgufValue nested = GgufValue.Array((GgufValue[])
        [
            GgufValue.Array(["x", ""]),
            GgufValue.Array((GgufValue[])[GgufValue.Array<byte>(GgufValueType.UInt8, [1, 2, 3]), GgufValue.Array<ulong>(GgufValueType.UInt64, [])]),
        ]);
        List<KeyValuePair<string, GgufValue>> metadata =
        [
            new("u8", GgufValue.Scalar(GgufValueType.UInt8, byte.MaxValue)),
            new("i8", GgufValue.Scalar(GgufValueType.Int8, sbyte.MinValue)),
            new("u16", GgufValue.Scalar(GgufValueType.UInt16, ushort.MaxValue)),
            new("i16", GgufValue.Scalar(GgufValueType.Int16, short.MinValue)),
            new("u32", GgufValue.Of(uint.MaxValue)),
            new("i32", GgufValue.Scalar(GgufValueType.Int32, int.MinValue)),
            new("f32", GgufValue.Of(float.Epsilon)),
            new("bool", GgufValue.Of(true)),
            new("string", GgufValue.Of("Ġhëllo\n")),
            new("u64", GgufValue.Scalar(GgufValueType.UInt64, ulong.MaxValue)),
            new("i64", GgufValue.Scalar(GgufValueType.Int64, long.MinValue)),
            new("f64", GgufValue.Scalar(GgufValueType.Float64, double.MaxValue)),
            new("bools", GgufValue.Array<byte>(GgufValueType.Bool, [1, 0])),
            new("floats", GgufValue.Array<float>(GgufValueType.Float32, [1, -2])),
            new("strings", GgufValue.Array(["a", "bc", ""])),
            new("nested", nested),
            new("general.alignment", GgufValue.Of(128u)),
        ];
        GgufWriter.Write(
            path, metadata,
            [
                ("first", GgufTensorType.I8, [3], stream => stream.Write([1, 2, 3])),
                ("second", GgufTensorType.F16, [2, 1], stream => stream.Write([4, 5, 6, 7])),
                ("none", GgufTensorType.F32, [0], _ => { }),
            ]);
        using GgufFile gguf = GgufFile.Open(path);
        Assert.Equal(metadata, gguf.Metadata);
        Assert.Equal(128, gguf.Alignment);
        Assert.All(gguf.Tensors.Values, tensor => Assert.Equal(0, tensor.Offset % 128));
        Assert.Equal([2L, 1L], gguf.Tensors["second"].Shape);
        using MappedBytes second = gguf.Map(gguf.Tensors["second"]);
        Assert.Equal([4, 5, 6, 7], second.Slice(0, 4).ToArray());
        Assert.Equal(["a", "bc", ""], gguf.Metadata["strings"].AsStrings());
        Assert.Equal(
            (255L, -128L, 65535L, -32768L, (long)uint.MaxValue, (long)int.MinValue),
            (gguf.Metadata["u8"].AsInteger(), gguf.Metadata["i8"].AsInteger(), gguf.Metadata["u16"].AsInteger(),
                gguf.Metadata["i16"].AsInteger(), gguf.Metadata["u32"].AsInteger(), gguf.Metadata["i32"].AsInteger()));
        Assert.Throws<OverflowException>(() => gguf.Metadata["u64"].AsInteger());
        Assert.Equal((float.Epsilon, double.MaxValue), (gguf.Metadata["f32"].AsFloat(), gguf.Metadata["f64"].AsFloat()));
        Assert.Equal(
            ["18446744073709551615", "true", "String[3]", "Ġhëllo\n", "-32768"],
            new[] { "u64", "bool", "strings", "string", "i16" }.Select(key => gguf.Metadata[key].ToString()));
        Assert.Equal("Array[2]", gguf.Metadata["nested"].ToString());
    }

    [Fact]
    public void A_writer_that_announces_something_else_is_refused()
    {
        string other = path + "x";
        Assert.Contains("'x'", Refused([], [("x", GgufTensorType.I8, [2], stream => stream.WriteByte(1))]));
        Assert.Contains("'x'", Refused([], [("x", GgufTensorType.TQ2_0, [100], _ => { })]));
        Assert.Contains("twice", Refused([], [("x", GgufTensorType.I8, [0], _ => { }), ("x", GgufTensorType.I8, [0], _ => { })]));
        Assert.Contains("twice", Refused([new("k", GgufValue.Of(1u)), new("k", GgufValue.Of(1u))], []));
        Assert.Contains("general.alignment", Refused([new("general.alignment", GgufValue.Of(48u))], []));
        Assert.Contains("63", Refused([], [(new string('n', 64), GgufTensorType.I8, [0], _ => { })]));
        Assert.False(File.Exists(other));

        string Refused(
            KeyValuePair<string, GgufValue>[] metadata, (string, GgufTensorType, long[], Action<Stream>)[] tensors) =>
            Assert.Throws<ArgumentException>(() => GgufWriter.Write(other, metadata, tensors)).Message;
    }

    [Theory]
    [InlineData("bitnet-b1.58", null, 36u, GgufTensorType.I2_S)]
    [InlineData("bitnet", null, 39u, GgufTensorType.TL2)]
    [InlineData("llama", 40u, 36u, GgufTensorType.I2_S)]
    [InlineData("llama", 38u, 38u, GgufTensorType.TL1)]
    [InlineData("llama", 1u, 39u, GgufTensorType.MXFP4)]
    [InlineData("llama", null, 36u, GgufTensorType.Unknown)]
    [InlineData("bitnet", null, 4_000_000_000u, GgufTensorType.Unknown)]
    public void Numbers_with_two_meanings_are_told_apart_by_the_metadata(
        string architecture, uint? fileType, uint number, GgufTensorType expected)
    {
        var bytes = new HandWrittenGguf().Value("general.architecture", 8, HandWrittenGguf.Text(architecture));
        if (fileType is uint type)
            bytes.Value("general.file_type", 4, BitConverter.GetBytes(type));
        File.WriteAllBytes(path, bytes.Tensor("t", number, [256], new byte[136]).ToArray());
        using GgufFile gguf = GgufFile.Open(path);
        Assert.Equal(expected, gguf.Tensors["t"].Type);
    }

    [Fact]
    public void The_sizes_of_the_published_models_tensors_are_known()
    {
        Assert.Equal(1_638_432, GgufTensorType.I2_S.ByteCount(2560, 2560 * 2560));
        Assert.Equal(4_423_712, GgufTensorType.I2_S.ByteCount(2560, 6912 * 2560));
        Assert.Equal(409_632, GgufTensorType.I2_S.ByteCount(2560, 640 * 2560));
        Assert.Equal(27 * 66, GgufTensorType.TQ2_0.ByteCount(6912, 6912));
        Assert.Null(GgufTensorType.TQ2_0.ByteCount(100, 1000));
    }

    public static TheoryData<string, byte[]> Hostile()
    {
        byte[] five = [5, 0, 0, 0];
        return new TheoryData<string, byte[]>
        {
            { "GGUF", [1, 2, 3, 4, 0, 0, 0, 0] },
            { "version 1", [.. "GGUF"u8, 1, 0, 0, 0] },
            { "version 50331648", [.. "GGUF"u8, 0, 0, 0, 3] },
            { "tensor", new HandWrittenGguf { Tensors = ulong.MaxValue }.ToArray() },
            { "metadata", new HandWrittenGguf { Values = ulong.MaxValue }.ToArray() },
            { "claims", new HandWrittenGguf().RawKey(ulong.MaxValue).ToArray() },
            { "'k'", new HandWrittenGguf().Value("k", 8, BitConverter.GetBytes(ulong.MaxValue)).ToArray() },
            { "'k' is of type 13", new HandWrittenGguf().Value("k", 13, five).ToArray() },
            { "'k' is neither", new HandWrittenGguf().Value("k", 7, [2]).ToArray() },
            { "elements", new HandWrittenGguf().Value("k", 9, [5, 0, 0, 0, .. BitConverter.GetBytes(long.MaxValue)]).ToArray() },
            { "elements", new HandWrittenGguf().Value("k", 9, [8, 0, 0, 0, .. BitConverter.GetBytes(1L << 60)]).ToArray() },
            { "type 99", new HandWrittenGguf().Value("k", 9, [99, 0, 0, 0, .. BitConverter.GetBytes(0L)]).ToArray() },
            { "deep", new HandWrittenGguf().Value("k", 9, [.. Enumerable.Repeat((byte[])[9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], 1000).SelectMany(x => x)]).ToArray() },
            { "'k' is there twice", new HandWrittenGguf().Value("k", 4, five).Value("k", 4, five).ToArray() },
            { "general.alignment", new HandWrittenGguf().Value("general.alignment", 4, [0, 0, 0, 0]).ToArray() },
            { "general.alignment", new HandWrittenGguf().Value("general.alignment", 4, [0, 0, 0, 128]).ToArray() },
            { "'t' is there twice", new HandWrittenGguf().Tensor("t", 24, [1], [1]).Tensor("t", 24, [1], [1]).ToArray() },
            { "9 dimensions", new HandWrittenGguf().Tensor("t", 24, [1, 1, 1, 1, 1, 1, 1, 1, 1], [1]).ToArray() },
            { "'t' has more than", new HandWrittenGguf().Tensor("t", 24, [1UL << 40, 1UL << 40], [1]).ToArray() },
            { "'t', F32", new HandWrittenGguf().Tensor("t", 0, [1UL << 40], [1]).ToArray() },
            { "'t' cannot be TQ2_0", new HandWrittenGguf().Tensor("t", 35, [255], new byte[66]).ToArray() },
            { "'t' lies at", new HandWrittenGguf().Tensor("t", 24, [1], [1], offset: 31).ToArray() },
            { "'t' lies at", new HandWrittenGguf().Tensor("t", 24, [1], [1], offset: 1UL << 63).ToArray() },
            { "overlap", new HandWrittenGguf().Tensor("t", 24, [64], new byte[64]).Tensor("u", 24, [64], new byte[64], offset: 32).ToArray() },
        };
    }

    [Theory, MemberData(nameof(Hostile))]
    public void Hostile_headers_are_named_and_allocate_little(string named, byte[] file)
    {
        File.WriteAllBytes(path, file);
        long before = GC.GetAllocatedBytesForCurrentThread();
        string message = Assert.Throws<InvalidDataException>(() => GgufFile.Open(path)).Message;
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
        Assert.Contains(path, message);
        Assert.Contains(named, message);
    }

    [Fact]
    public void An_empty_file_is_an_error() => Assert.Contains("empty", Assert.Throws<InvalidDataException>(() => GgufFile.Open(path)).Message);
}

/// <summary>A GGUF file, put together byte by byte, also wrongly.</summary>
internal sealed class HandWrittenGguf
{
    private readonly MemoryStream values = new(), infos = new(), data = new();
    private ulong valueCount, tensorCount;

    public ulong? Tensors { get; init; }

    public ulong? Values { get; init; }

    public static byte[] Text(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        return [.. BitConverter.GetBytes((ulong)utf8.Length), .. utf8];
    }

    public HandWrittenGguf RawKey(ulong length)
    {
        valueCount++;
        values.Write(BitConverter.GetBytes(length));
        return this;
    }

    public HandWrittenGguf Value(string key, uint type, byte[] bytes)
    {
        valueCount++;
        values.Write(Text(key));
        values.Write(BitConverter.GetBytes(type));
        values.Write(bytes);
        return this;
    }

    /// <summary>Sizes as in the file: the row's length first.</summary>
    public HandWrittenGguf Tensor(string name, uint type, ulong[] sizes, byte[] bytes, ulong? offset = null)
    {
        tensorCount++;
        infos.Write(Text(name));
        infos.Write(BitConverter.GetBytes((uint)sizes.Length));
        foreach (ulong size in sizes)
            infos.Write(BitConverter.GetBytes(size));
        infos.Write(BitConverter.GetBytes(type));
        infos.Write(BitConverter.GetBytes(offset ?? (ulong)data.Length));
        data.Write(bytes);
        while (data.Length % 32 != 0)
            data.WriteByte(0);
        return this;
    }

    public byte[] ToArray()
    {
        byte[] header =
        [
            .. "GGUF"u8, 3, 0, 0, 0,
            .. BitConverter.GetBytes(Tensors ?? tensorCount), .. BitConverter.GetBytes(Values ?? valueCount),
            .. values.ToArray(), .. infos.ToArray(),
        ];
        return [.. header, .. new byte[(32 - (header.Length % 32)) % 32], .. data.ToArray()];
    }
}
