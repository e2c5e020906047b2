using System.Buffers.Binary;
using System.IO.Compression;

namespace Accuracy.Data;

/// <summary>An array of bytes in the IDX format of the MNIST data sets: two zeros, the type (8: unsigned bytes), the number of
/// dimensions, their sizes as big-endian int32, the values.</summary>
internal sealed record IdxFile(int[] Shape, byte[] Values)
{
    private const byte UnsignedByte = 8;

    /// <summary>Reads a file, compressed by gzip where its name ends in .gz.</summary>
    /// <exception cref="InvalidDataException">It is not such a file.</exception>
    public static IdxFile Read(string path)
    {
        using FileStream file = File.OpenRead(path);
        using var content = new MemoryStream();
        bool isCompressed = path.EndsWith(".gz", StringComparison.Ordinal);
        using (Stream stream = isCompressed ? new GZipStream(file, CompressionMode.Decompress) : file)
            stream.CopyTo(content);
        return Parse(content.ToArray(), path);
    }

    /// <summary>Reads bytes.</summary>
    /// <param name="bytes">All of the file.</param>
    /// <param name="name">What errors call it.</param>
    /// <exception cref="InvalidDataException">They are not of this format.</exception>
    public static IdxFile Parse(ReadOnlySpan<byte> bytes, string name)
    {
        if (bytes.Length < 4 || bytes[0] != 0 || bytes[1] != 0 || bytes[2] != UnsignedByte)
            throw new InvalidDataException($"{name} is not an IDX file of unsigned bytes.");
        int header = 4 + (4 * bytes[3]);
        if (bytes.Length < header)
            throw new InvalidDataException($"{name} ends within its header.");
        int[] shape = new int[bytes[3]];
        long count = 1;
        for (int i = 0; i < shape.Length; i++)
        {
            shape[i] = BinaryPrimitives.ReadInt32BigEndian(bytes[(4 + (4 * i))..]);
            count = shape[i] is >= 0 && count <= int.MaxValue ? count * shape[i] : long.MaxValue;
        }
        if (count != bytes.Length - header)
            throw new InvalidDataException($"{name} says ({string.Join(", ", shape)}) and has {bytes.Length - header} values.");
        return new IdxFile(shape, bytes[header..].ToArray());
    }
}
