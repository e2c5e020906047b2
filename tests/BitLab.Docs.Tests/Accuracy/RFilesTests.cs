using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using Accuracy.Data;

namespace BitLab.Docs.Tests.Accuracy;

/// <summary>The reader of R's data against bytes written by hand after "R Internals", section 1.8.</summary>
public class RFilesTests
{
    private const int HasAttributes = 1 << 9, HasTag = 1 << 10;
    private const int Symbol = 1, Pairs = 2, Characters = 9, Integers = 13, Reals = 14, Strings = 16, Values = 19, End = 254;

    private static readonly byte[] Version2 = Bytes("X\n", 2, 0x40202, 0x20300);

    // list(letter = factor(c("b", "a")), x = c(1.5, -2)), stored by the name "set".
    private static readonly byte[] DataSet = Bytes(
        "RDX2\n", Version2,
        Pairs | HasTag, Name("set"),
        Values | HasAttributes, 2,
        Integers | HasAttributes, 2, 2, 1, Pairs | HasTag, Name("levels"), Strings, 2, Text("a"), Text("b"), End,
        Reals, 2, 1.5, -2.0,
        Pairs | HasTag, Name("names"), Strings, 2, Text("letter"), Text("x"), End,
        End);

    [Fact]
    public void A_data_frame_is_read_with_its_names_and_levels()
    {
        RValue set = RReader.Read(DataSet, "x")["set"];
        Assert.Equal([2.0, 1.0], set["letter"].Numbers);
        Assert.Equal(["a", "b"], set["letter"].Attributes["levels"].Strings);
        Assert.Equal([1.5, -2.0], set["x"].Numbers);
        Assert.Throws<InvalidDataException>(() => set["y"]);
        Assert.Throws<InvalidDataException>(() => set["x"].Strings);
    }

    [Fact]
    public void A_symbol_that_comes_again_is_a_reference()
    {
        byte[] bytes = Bytes(
            Version2,
            Pairs | HasTag, Name("first"), Integers, 1, 7,
            Pairs | HasTag, (1 << 8) | 255, Integers, 1, 8,
            End);
        Assert.Equal(["first", "first"], RReader.Read(bytes, "x").Attributes["names"].Strings);
    }

    [Fact]
    public void Version_3_names_an_encoding_first() =>
        Assert.Equal([5.0], RReader.Read(Bytes("X\n", 3, 0x40202, 0x30500, 5, "UTF-8", Integers, 1, 5), "x").Numbers);

    [Fact]
    public void Strings_may_be_missing_and_are_UTF_8() =>
        Assert.Equal(["é", ""], RReader.Read(Bytes(Version2, Strings, 2, Text("é"), Characters, -1), "x").Strings);

    [Fact]
    public void Every_beginning_of_a_file_is_refused_by_name()
    {
        for (int length = 0; length < DataSet.Length; length++)
        {
            var error = Assert.Throws<InvalidDataException>(() => RReader.Read(DataSet.AsSpan(0, length), "the file"));
            Assert.StartsWith("the file", error.Message);
        }
    }

    [Theory]
    [InlineData(Integers, int.MaxValue)]
    [InlineData(Reals, 1 << 28)]
    [InlineData(Strings, 1 << 28)]
    [InlineData(Values, -1)]
    public void A_size_beyond_the_end_is_refused_before_it_is_allocated(int type, int size) =>
        Assert.Contains("vector", Assert.Throws<InvalidDataException>(() => RReader.Read(Bytes(Version2, type, size, 0), "x")).Message);

    [Fact]
    public void A_function_is_refused() =>
        Assert.Contains("type 3", Assert.Throws<InvalidDataException>(() => RReader.Read(Bytes(Version2, 3, 0), "x")).Message);

    [Fact]
    public void Gzip_bzip2_and_xz_are_undone()
    {
        // Both from `printf 'X\n' |`, by `bzip2` and by `xz --check=crc32`.
        byte[] bzip2 = Convert.FromHexString("425a68393141592653590b9df959000000c200001000402000210082b1772453850900b9df9590");
        byte[] xz = Convert.FromHexString("fd377a585a0000016922de360200210116000000742fe5a3010001580a000000bd2c6ed300011602d06110d29042990d010000000001595a");
        Assert.Equal("X\n"u8, RFiles.Decompress(bzip2));
        Assert.Equal("X\n"u8, RFiles.Decompress(xz));
        Assert.Equal("X\n"u8, RFiles.Decompress("X\n"u8.ToArray()));
        using var gzip = new MemoryStream();
        using (var stream = new GZipStream(gzip, CompressionMode.Compress))
            stream.Write("X\n"u8);
        Assert.Equal("X\n"u8, RFiles.Decompress(gzip.ToArray()));
    }

    [Fact]
    public void A_lazy_database_is_read_by_its_index()
    {
        string folder = Directory.CreateTempSubdirectory("bitlab-").FullName;
        try
        {
            byte[] text = Bytes(Version2, Strings, 1, Text("It is a truth"));
            using var packed = new MemoryStream();
            using (var zlib = new ZLibStream(packed, CompressionMode.Compress, leaveOpen: true))
                zlib.Write(text);
            File.WriteAllBytes(Path.Combine(folder, "Rdata.rdb"), Bytes(0, text.Length, packed.ToArray()));
            WriteIndex(offset: 4, (int)packed.Length + 4);
            Assert.Equal(["It is a truth"], RFiles.ReadLazy(folder, "novel").Strings);
            Assert.Throws<InvalidDataException>(() => RFiles.ReadLazy(folder, "another"));
            WriteIndex(offset: 5, (int)packed.Length + 4);
            Assert.Throws<InvalidDataException>(() => RFiles.ReadLazy(folder, "novel"));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        void WriteIndex(int offset, int length) => File.WriteAllBytes(Path.Combine(folder, "Rdata.rdx"), Bytes(
            Version2, Values | HasAttributes, 1,
            Values | HasAttributes, 1, Integers, 2, offset, length, Pairs | HasTag, Name("names"), Strings, 1, Text("novel"), End,
            Pairs | HasTag, Name("names"), Strings, 1, Text("variables"), End));
    }

    private static byte[] Name(string name) => Bytes(Symbol, Text(name));

    private static byte[] Text(string text) => Bytes(Characters, Encoding.UTF8.GetByteCount(text), text);

    // Numbers in the order of the network, which XDR has.
    private static byte[] Bytes(params object[] parts) => [.. parts.SelectMany(part =>
    {
        byte[] number = new byte[part is double ? 8 : 4];
        switch (part)
        {
            case int n:
                BinaryPrimitives.WriteInt32BigEndian(number, n);
                return number;
            case double d:
                BinaryPrimitives.WriteDoubleBigEndian(number, d);
                return number;
            case string s:
                return Encoding.UTF8.GetBytes(s);
            default:
                return (byte[])part;
        }
    })];
}
