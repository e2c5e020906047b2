using System.Buffers.Binary;
using System.IO.Compression;
using SharpCompress.Compressors.BZip2;
using SharpCompress.Compressors.Xz;

namespace Accuracy.Data;

/// <summary>The files in which packages of R keep their data.</summary>
internal static class RFiles
{
    /// <summary>Reads an .rda or .rds file, compressed by gzip, bzip2, xz or not at all.</summary>
    /// <exception cref="InvalidDataException">It is not such a file.</exception>
    public static RValue Read(string path) => RReader.Read(Decompress(File.ReadAllBytes(path)), path);

    /// <summary>Reads a value of a package's lazy-load database: Rdata.rdx says where in Rdata.rdb each lies, its size as
    /// big-endian int32 before its zlib stream.</summary>
    /// <param name="folder">The package's data folder.</param>
    /// <param name="name">The value's name.</param>
    /// <exception cref="InvalidDataException">The files are not such a database, or the value is not in it.</exception>
    public static RValue ReadLazy(string folder, string name)
    {
        double[] place = Read(Path.Combine(folder, "Rdata.rdx"))["variables"][name].Numbers;
        string file = Path.Combine(folder, "Rdata.rdb");
        byte[] bytes = File.ReadAllBytes(file);
        if (place.Length != 2 || place[0] < 0 || place[1] < sizeof(int) || place[0] + place[1] > bytes.Length)
            throw new InvalidDataException($"{file} does not hold '{name}' where its index says.");
        ReadOnlySpan<byte> entry = bytes.AsSpan((int)place[0], (int)place[1]);
        byte[] value = Copy(new ZLibStream(new MemoryStream(entry[sizeof(int)..].ToArray()), CompressionMode.Decompress));
        return value.Length == BinaryPrimitives.ReadInt32BigEndian(entry)
            ? RReader.Read(value, $"'{name}' in {file}")
            : throw new InvalidDataException($"'{name}' in {file} has not the size that it says.");
    }

    /// <summary>Undoes the compression that the first bytes tell of.</summary>
    public static byte[] Decompress(byte[] bytes)
    {
        if (bytes.AsSpan().StartsWith((ReadOnlySpan<byte>)[0x1F, 0x8B]))
            return Copy(new GZipStream(new MemoryStream(bytes), CompressionMode.Decompress));
        if (bytes.AsSpan().StartsWith("BZh"u8))
            return Copy(BZip2Stream.Create(new MemoryStream(bytes), SharpCompress.Compressors.CompressionMode.Decompress, false));
        return bytes.AsSpan().StartsWith((ReadOnlySpan<byte>)[0xFD, (byte)'7', (byte)'z', (byte)'X', (byte)'Z', 0])
            ? Copy(new XZStream(new MemoryStream(bytes)))
            : bytes;
    }

    private static byte[] Copy(Stream stream)
    {
        using (stream)
        {
            using var copy = new MemoryStream();
            stream.CopyTo(copy);
            return copy.ToArray();
        }
    }
}
