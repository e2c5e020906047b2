using System.Text;

namespace BitLab.Benchmarks;

/// <summary>One message of Protocol Buffers: fields in the order in which they are added.</summary>
internal sealed class ProtobufWriter
{
    private const int Varint = 0;
    private const int Delimited = 2;

    private readonly MemoryStream stream = new();

    public ProtobufWriter Add(int field, long value)
    {
        WriteVarint((ulong)(field << 3 | Varint));
        WriteVarint((ulong)value);
        return this;
    }

    public ProtobufWriter Add(int field, ReadOnlySpan<byte> bytes)
    {
        WriteVarint((ulong)(field << 3 | Delimited));
        WriteVarint((ulong)bytes.Length);
        stream.Write(bytes);
        return this;
    }

    public ProtobufWriter Add(int field, string text) => Add(field, Encoding.UTF8.GetBytes(text));

    public ProtobufWriter Add(int field, ProtobufWriter message) =>
        Add(field, message.stream.GetBuffer().AsSpan(0, (int)message.stream.Length));

    public byte[] ToArray() => stream.ToArray();

    // Seven bits a byte, the lowest first; the eighth says that more follow.
    private void WriteVarint(ulong value)
    {
        for (; value >= 0x80; value >>= 7)
            stream.WriteByte((byte)(value | 0x80));
        stream.WriteByte((byte)value);
    }
}
