using System.Runtime.CompilerServices;
using System.Text;

namespace BitLab.Core;

/// <summary>Walks over a mapped GGUF file's header; what does not fit is an error before anything is made of it.</summary>
/// <param name="file">The file.</param>
/// <param name="path">What errors call it.</param>
internal sealed unsafe class GgufReader(MappedFile file, string path)
{
    private const int MaxNesting = 16;

    // A value is copied into one array. No model's vocabulary comes near.
    private const long MaxValueBytes = 1 << 30;

    public long Position { get; private set; }

    public uint UInt32(string what) => Read<uint>(what);

    public ulong UInt64(string what) => Read<ulong>(what);

    public string Text(string what)
    {
        // The longest key that the format allows.
        const int Longest = 65535;
        ulong length = UInt64(what);
        if (length > Longest)
            throw Damaged($"{what} claims {length} bytes; names have at most {Longest}");
        Need(length, what);
        string text = Encoding.UTF8.GetString(file.Pointer + Position, (int)length);
        Position += (long)length;
        return text;
    }

    public GgufValue Value(string what)
    {
        uint type = UInt32(what);
        long start = Position;
        Skip((GgufValueType)type, what, 0);
        long length = Position - start;
        if (length > MaxValueBytes)
            throw Damaged($"{what} has {length} bytes; BitLab reads at most {MaxValueBytes}");
        return new GgufValue((GgufValueType)type, new ReadOnlySpan<byte>(file.Pointer + start, (int)length).ToArray());
    }

    public InvalidDataException Damaged(string what) => new($"'{path}' is no sound GGUF file: {what}.");

    private void Skip(GgufValueType type, string what, int nesting)
    {
        switch (type)
        {
            case GgufValueType.Bool:
                if (Read<byte>(what) > 1)
                    throw Damaged($"{what} is neither true nor false");
                break;
            case GgufValueType.String:
                SkipBytes(UInt64(what), what);
                break;
            case GgufValueType.Array:
                if (nesting == MaxNesting)
                    throw Damaged($"{what} holds arrays in arrays, {MaxNesting} deep");
                var element = (GgufValueType)UInt32(what);
                SkipElements(element, UInt64(what), what, nesting);
                break;
            default:
                int bytes = GgufValue.ElementBytes(type);
                if (bytes == 0)
                    throw Damaged($"{what} is of type {(uint)type}, which does not exist");
                SkipBytes((ulong)bytes, what);
                break;
        }
    }

    private void SkipElements(GgufValueType element, ulong count, string what, int nesting)
    {
        int bytes = GgufValue.ElementBytes(element);
        if (bytes == 0 && element is not (GgufValueType.String or GgufValueType.Array))
            throw Damaged($"{what} is of type {(uint)element}, which does not exist");
        // A string is no shorter than its length, an array no shorter than its header.
        int least = bytes > 0 ? bytes : element == GgufValueType.String ? 8 : 12;
        if (count > (ulong)(file.ByteCount - Position) / (ulong)least)
            throw Damaged($"{what} claims {count} elements, more than the file has");
        if (bytes > 0 && element != GgufValueType.Bool)
        {
            SkipBytes(count * (ulong)bytes, what);
            return;
        }
        for (ulong i = 0; i < count; i++)
            Skip(element, what, nesting + 1);
    }

    private void SkipBytes(ulong count, string what)
    {
        Need(count, what);
        Position += (long)count;
    }

    private T Read<T>(string what)
        where T : unmanaged
    {
        Need((ulong)sizeof(T), what);
        T value = Unsafe.ReadUnaligned<T>(file.Pointer + Position);
        Position += sizeof(T);
        return value;
    }

    private void Need(ulong count, string what)
    {
        if (count > (ulong)(file.ByteCount - Position))
            throw Damaged($"it ends within {what}");
    }
}
