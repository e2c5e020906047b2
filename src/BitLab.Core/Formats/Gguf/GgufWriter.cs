using System.Buffers.Binary;
using System.Text;

namespace BitLab.Core;

/// <summary>Writes a GGUF file, version 3: first announce metadata and every tensor, then write the tensors' bytes in the same
/// order.</summary>
/// <remarks>The file appears under its name only when it is complete.</remarks>
public static class GgufWriter
{
    private const uint Version = 3;
    private const int MaxNameBytes = 63;

    /// <summary>Writes a file.</summary>
    /// <param name="path">The file; one that is there is replaced.</param>
    /// <param name="metadata">Keys and values. <c>general.alignment</c>, where it is among them, is obeyed; else tensors begin at
    /// multiples of 32.</param>
    /// <param name="tensors">Name, type, shape (the longest stride first, at most four dimensions) and what writes the bytes, exactly
    /// as many as type and shape say.</param>
    /// <exception cref="ArgumentException">A name is there twice or longer than 63 bytes, a shape cannot be of its type, or a tensor's bytes are not as many as
    /// announced.</exception>
    public static void Write(
        string path,
        IReadOnlyList<KeyValuePair<string, GgufValue>> metadata,
        IReadOnlyList<(string Name, GgufTensorType Type, long[] Shape, Action<Stream> WriteTo)> tensors)
    {
        ArgumentNullException.ThrowIfNull(metadata);
        ArgumentNullException.ThrowIfNull(tensors);
        CheckNames(metadata.Select(pair => pair.Key), nameof(metadata));
        CheckNames(tensors.Select(tensor => tensor.Name), nameof(tensors));
        if (tensors.FirstOrDefault(tensor => Encoding.UTF8.GetByteCount(tensor.Name) > MaxNameBytes).Name is string name)
            throw new ArgumentException($"'{name}' is longer than the {MaxNameBytes} bytes that readers take.", nameof(tensors));
        int alignment = GgufFile.DefaultAlignment;
        if (metadata.FirstOrDefault(pair => pair.Key == GgufFile.AlignmentKey).Value is GgufValue asked)
        {
            long value = asked.Type == GgufValueType.UInt32 ? asked.AsInteger() : 0;
            if (value is < 1 or > 1 << 24 || !System.Numerics.BitOperations.IsPow2(value))
                throw new ArgumentException($"{GgufFile.AlignmentKey} is {asked}, no UInt32 that is a power of two.", nameof(metadata));
            alignment = (int)value;
        }
        byte[] header = Header(metadata, tensors, alignment);
        AtomicFile.Write(path, stream =>
        {
            stream.Write(header);
            Pad(stream, alignment);
            foreach ((string name, GgufTensorType type, long[] shape, Action<Stream> writeTo) in tensors)
            {
                long start = stream.Position;
                writeTo(stream);
                if (stream.Position - start != ByteCount(name, type, shape))
                {
                    throw new ArgumentException(
                        $"'{name}' was announced with {ByteCount(name, type, shape)} bytes and has {stream.Position - start}.");
                }
                Pad(stream, alignment);
            }
        });
    }

    private static byte[] Header(
        IReadOnlyList<KeyValuePair<string, GgufValue>> metadata,
        IReadOnlyList<(string Name, GgufTensorType Type, long[] Shape, Action<Stream> WriteTo)> tensors,
        int alignment)
    {
        var stream = new MemoryStream();
        using var writer = new BinaryWriter(stream, Encoding.UTF8);
        writer.Write(GgufFile.Magic);
        writer.Write(Version);
        writer.Write((ulong)tensors.Count);
        writer.Write((ulong)metadata.Count);
        foreach ((string key, GgufValue value) in metadata)
        {
            GgufValue.WriteText(stream, key);
            writer.Write((uint)value.Type);
            writer.Write(value.Bytes);
        }
        long offset = 0;
        foreach ((string name, GgufTensorType type, long[] shape, _) in tensors)
        {
            GgufValue.WriteText(stream, name);
            writer.Write((uint)shape.Length);
            for (int i = shape.Length - 1; i >= 0; i--)
                writer.Write((ulong)shape[i]);
            writer.Write(type.Id());
            writer.Write((ulong)offset);
            offset = (offset + ByteCount(name, type, shape) + alignment - 1) / alignment * alignment;
        }
        writer.Flush();
        return stream.ToArray();
    }

    private static long ByteCount(string name, GgufTensorType type, long[] shape)
    {
        long? count = shape.Length <= GgufFile.MaxDimensions && shape.All(size => size >= 0)
            ? type.ByteCount(shape.Length > 0 ? shape[^1] : 1, shape.Aggregate(1L, (product, size) => checked(product * size)))
            : null;
        return count ?? throw new ArgumentException($"'{name}' cannot be {type} with the shape ({string.Join(", ", shape)}).");
    }

    private static void Pad(Stream stream, int alignment)
    {
        long rest = (alignment - (stream.Position % alignment)) % alignment;
        for (; rest > 0; rest--)
            stream.WriteByte(0);
    }

    private static void CheckNames(IEnumerable<string> names, string parameter)
    {
        if (names.GroupBy(name => name).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw new ArgumentException($"'{twice.Key}' is there twice.", parameter);
    }
}
