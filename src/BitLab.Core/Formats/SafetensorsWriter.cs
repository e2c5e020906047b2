using System.Buffers.Binary;
using System.Text.Json;

namespace BitLab.Core;

/// <summary>Writes a safetensors file: first announce every tensor, then write their bytes in the same order.</summary>
/// <remarks>The file appears under its name only when it is complete (<see cref="AtomicFile"/>).</remarks>
public static class SafetensorsWriter
{
    /// <summary>Writes a file.</summary>
    /// <param name="path">The file; one that is there is replaced.</param>
    /// <param name="tensors">Name, type, shape and what writes the bytes, exactly as many as type and shape say.</param>
    /// <param name="metadata">Strings for <c>__metadata__</c>.</param>
    /// <exception cref="ArgumentException">A name is there twice, or a tensor's bytes are not as many as announced.</exception>
    public static void Write(
        string path,
        IReadOnlyList<(string Name, SafetensorsDtype Dtype, long[] Shape, Action<Stream> WriteTo)> tensors,
        IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        if (tensors.GroupBy(tensor => tensor.Name).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw new ArgumentException($"'{twice.Key}' is there twice.", nameof(tensors));
        byte[] header = Header(tensors, metadata);
        AtomicFile.Write(path, stream =>
        {
            Span<byte> length = stackalloc byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
            stream.Write(length);
            stream.Write(header);
            foreach ((string name, SafetensorsDtype dtype, long[] shape, Action<Stream> writeTo) in tensors)
            {
                long start = stream.Position;
                writeTo(stream);
                if (stream.Position - start != ByteCount(dtype, shape))
                {
                    throw new ArgumentException(
                        $"'{name}' was announced with {ByteCount(dtype, shape)} bytes and has {stream.Position - start}.");
                }
            }
        });
    }

    /// <summary>Where among others a tensor is best placed: lower first. The format forbids gaps. So what needs 64 bytes comes
    /// first, if it also ends at a multiple of 64, then elements of 8 bytes, 4 bytes, 2 bytes, and the rest: everything lies as
    /// its type asks, and packed weights can be multiplied where they are mapped.</summary>
    internal static int Place(SafetensorsDtype dtype, long[] shape) =>
        dtype == SafetensorsDtype.U8 && ByteCount(dtype, shape) % NativeBuffer.Alignment == 0 ? 0 : 9 - dtype.ElementBytes();

    private static byte[] Header(
        IReadOnlyList<(string Name, SafetensorsDtype Dtype, long[] Shape, Action<Stream> WriteTo)> tensors,
        IReadOnlyDictionary<string, string>? metadata)
    {
        const int Alignment = 64;
        using var json = new MemoryStream();
        using (var writer = new Utf8JsonWriter(json))
        {
            writer.WriteStartObject();
            if (metadata is not null)
            {
                writer.WriteStartObject("__metadata__");
                foreach ((string key, string value) in metadata)
                    writer.WriteString(key, value);
                writer.WriteEndObject();
            }
            long offset = 0;
            foreach ((string name, SafetensorsDtype dtype, long[] shape, _) in tensors)
            {
                writer.WriteStartObject(name);
                writer.WriteString("dtype", dtype.ToString());
                writer.WriteStartArray("shape");
                foreach (long size in shape)
                    writer.WriteNumberValue(size);
                writer.WriteEndArray();
                writer.WriteStartArray("data_offsets");
                writer.WriteNumberValue(offset);
                writer.WriteNumberValue(offset += ByteCount(dtype, shape));
                writer.WriteEndArray();
                writer.WriteEndObject();
            }
            writer.WriteEndObject();
        }
        // Spaces, which JSON ignores, bring the first tensor to a multiple of 64.
        while ((sizeof(long) + json.Length) % Alignment != 0)
            json.WriteByte((byte)' ');
        return json.ToArray();
    }

    internal static long ByteCount(SafetensorsDtype dtype, long[] shape) =>
        shape.Aggregate((long)dtype.ElementBytes(), (product, size) => checked(product * size));
}
