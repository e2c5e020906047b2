using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace BitLab.Core;

/// <summary>The types of metadata values in GGUF files, by the numbers there.</summary>
public enum GgufValueType
{
    /// <summary>Unsigned byte.</summary>
    UInt8 = 0,

    /// <summary>Signed byte.</summary>
    Int8 = 1,

    /// <summary>Unsigned, 16 bits.</summary>
    UInt16 = 2,

    /// <summary>Signed, 16 bits.</summary>
    Int16 = 3,

    /// <summary>Unsigned, 32 bits.</summary>
    UInt32 = 4,

    /// <summary>Signed, 32 bits.</summary>
    Int32 = 5,

    /// <summary>Float, 32 bits.</summary>
    Float32 = 6,

    /// <summary>A byte that is 0 or 1.</summary>
    Bool = 7,

    /// <summary>UTF-8 behind its length.</summary>
    String = 8,

    /// <summary>Values of one type, which may be arrays.</summary>
    Array = 9,

    /// <summary>Unsigned, 64 bits.</summary>
    UInt64 = 10,

    /// <summary>Signed, 64 bits.</summary>
    Int64 = 11,

    /// <summary>Float, 64 bits.</summary>
    Float64 = 12,
}

/// <summary>A metadata value of a GGUF file, held as the bytes that the file has, so that it is written as it was read.</summary>
/// <remarks>Asking for another type than the value's is an <see cref="InvalidOperationException"/>.</remarks>
public sealed class GgufValue : IEquatable<GgufValue>
{
    private const int ArrayHeaderBytes = sizeof(uint) + sizeof(ulong);

    private readonly ReadOnlyMemory<byte> bytes;

    internal GgufValue(GgufValueType type, ReadOnlyMemory<byte> bytes)
    {
        Type = type;
        this.bytes = bytes;
    }

    /// <summary>The type.</summary>
    public GgufValueType Type { get; }

    /// <summary>The type of the elements; for an array only.</summary>
    public GgufValueType ElementType => (GgufValueType)BinaryPrimitives.ReadUInt32LittleEndian(OfType(GgufValueType.Array));

    /// <summary>The number of elements; for an array only.</summary>
    public long Count => BinaryPrimitives.ReadInt64LittleEndian(OfType(GgufValueType.Array)[sizeof(uint)..]);

    /// <summary>The value as the file holds it, without its type.</summary>
    public ReadOnlySpan<byte> Bytes => bytes.Span;

    /// <summary>A value of a number.</summary>
    /// <param name="value">The number.</param>
    /// <returns>The value, of type <see cref="GgufValueType.UInt32"/>.</returns>
    public static GgufValue Of(uint value) => Scalar(GgufValueType.UInt32, value);

    /// <summary>A value of a number.</summary>
    /// <param name="value">The number.</param>
    /// <returns>The value, of type <see cref="GgufValueType.Float32"/>.</returns>
    public static GgufValue Of(float value) => Scalar(GgufValueType.Float32, value);

    /// <summary>A value of true or false.</summary>
    /// <param name="value">Which.</param>
    /// <returns>The value, of type <see cref="GgufValueType.Bool"/>.</returns>
    public static GgufValue Of(bool value) => Scalar(GgufValueType.Bool, value ? (byte)1 : (byte)0);

    /// <summary>A value of a text.</summary>
    /// <param name="value">The text.</param>
    /// <returns>The value, of type <see cref="GgufValueType.String"/>.</returns>
    public static GgufValue Of(string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        var stream = new MemoryStream();
        WriteText(stream, value);
        return new GgufValue(GgufValueType.String, stream.ToArray());
    }

    /// <summary>A number of any type.</summary>
    /// <typeparam name="T">The .NET type of that type: byte for UInt8, float for Float32.</typeparam>
    /// <param name="type">The type: not a string and not an array.</param>
    /// <param name="value">The number.</param>
    /// <returns>The value.</returns>
    /// <exception cref="ArgumentException">The sizes differ.</exception>
    public static GgufValue Scalar<T>(GgufValueType type, T value)
        where T : unmanaged => new(type, Elements(type, [value]));

    /// <summary>An array of numbers.</summary>
    /// <typeparam name="T">The .NET type of the elements' type: byte for UInt8, float for Float32.</typeparam>
    /// <param name="type">The elements' type: not a string and not an array.</param>
    /// <param name="values">The numbers.</param>
    /// <returns>The value.</returns>
    /// <exception cref="ArgumentException">The sizes differ.</exception>
    public static GgufValue Array<T>(GgufValueType type, ReadOnlySpan<T> values)
        where T : unmanaged => new(GgufValueType.Array, (byte[])[.. ArrayHeader(type, values.Length), .. Elements(type, values)]);

    /// <summary>An array of texts.</summary>
    /// <param name="values">The texts.</param>
    /// <returns>The value.</returns>
    public static GgufValue Array(IEnumerable<string> values)
    {
        string[] texts = [.. values];
        var stream = new MemoryStream();
        stream.Write(ArrayHeader(GgufValueType.String, texts.Length));
        foreach (string text in texts)
            WriteText(stream, text);
        return new GgufValue(GgufValueType.Array, stream.ToArray());
    }

    /// <summary>An array of arrays.</summary>
    /// <param name="values">The arrays.</param>
    /// <returns>The value.</returns>
    /// <exception cref="ArgumentException">One is no array.</exception>
    public static GgufValue Array(IReadOnlyList<GgufValue> values)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (values.Any(value => value.Type != GgufValueType.Array))
            throw new ArgumentException("An array of values holds arrays only.", nameof(values));
        return new GgufValue(
            GgufValueType.Array,
            (byte[])[.. ArrayHeader(GgufValueType.Array, values.Count), .. values.SelectMany(value => value.bytes.ToArray())]);
    }

    /// <summary>A whole number of any type.</summary>
    /// <returns>The number.</returns>
    /// <exception cref="OverflowException">It is beyond 2^63 - 1.</exception>
    public long AsInteger() => Type switch
    {
        GgufValueType.UInt8 => bytes.Span[0],
        GgufValueType.Int8 => (sbyte)bytes.Span[0],
        GgufValueType.UInt16 => BinaryPrimitives.ReadUInt16LittleEndian(bytes.Span),
        GgufValueType.Int16 => BinaryPrimitives.ReadInt16LittleEndian(bytes.Span),
        GgufValueType.UInt32 => BinaryPrimitives.ReadUInt32LittleEndian(bytes.Span),
        GgufValueType.Int32 => BinaryPrimitives.ReadInt32LittleEndian(bytes.Span),
        GgufValueType.UInt64 => checked((long)BinaryPrimitives.ReadUInt64LittleEndian(bytes.Span)),
        GgufValueType.Int64 => BinaryPrimitives.ReadInt64LittleEndian(bytes.Span),
        _ => throw NotOf("a whole number"),
    };

    /// <summary>A float of either type.</summary>
    /// <returns>The number.</returns>
    public double AsFloat() => Type switch
    {
        GgufValueType.Float32 => BinaryPrimitives.ReadSingleLittleEndian(bytes.Span),
        GgufValueType.Float64 => BinaryPrimitives.ReadDoubleLittleEndian(bytes.Span),
        _ => throw NotOf("a float"),
    };

    /// <summary>True or false.</summary>
    /// <returns>Which.</returns>
    public bool AsBool() => OfType(GgufValueType.Bool)[0] != 0;

    /// <summary>A text. Bytes that are no UTF-8 become U+FFFD.</summary>
    /// <returns>The text.</returns>
    public string AsString() => Encoding.UTF8.GetString(OfType(GgufValueType.String)[sizeof(ulong)..]);

    /// <summary>The texts of an array.</summary>
    /// <returns>As many as <see cref="Count"/>.</returns>
    public string[] AsStrings()
    {
        if (Type != GgufValueType.Array || ElementType != GgufValueType.String)
            throw NotOf("an array of strings");
        ReadOnlySpan<byte> rest = bytes.Span[ArrayHeaderBytes..];
        string[] texts = new string[Count];
        for (int i = 0; i < texts.Length; i++)
        {
            int length = (int)BinaryPrimitives.ReadUInt64LittleEndian(rest);
            texts[i] = Encoding.UTF8.GetString(rest.Slice(sizeof(ulong), length));
            rest = rest[(sizeof(ulong) + length)..];
        }
        return texts;
    }

    /// <summary>The numbers of an array.</summary>
    /// <typeparam name="T">The .NET type of the elements' type.</typeparam>
    /// <returns>As many as <see cref="Count"/>.</returns>
    public T[] AsArray<T>()
        where T : unmanaged
    {
        if (Type != GgufValueType.Array || ElementBytes(ElementType) != Unsafe.SizeOf<T>())
            throw NotOf($"an array of {typeof(T).Name}");
        return MemoryMarshal.Cast<byte, T>(bytes.Span[ArrayHeaderBytes..]).ToArray();
    }

    /// <inheritdoc/>
    public bool Equals(GgufValue? other) => other is not null && Type == other.Type && bytes.Span.SequenceEqual(other.bytes.Span);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as GgufValue);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Type, bytes.Length);

    /// <inheritdoc/>
    public override string ToString() => Type switch
    {
        GgufValueType.String => AsString(),
        GgufValueType.Array => $"{ElementType}[{Count}]",
        GgufValueType.Bool => AsBool() ? "true" : "false",
        GgufValueType.Float32 or GgufValueType.Float64 => AsFloat().ToString("R", System.Globalization.CultureInfo.InvariantCulture),
        GgufValueType.UInt64 => BinaryPrimitives.ReadUInt64LittleEndian(bytes.Span).ToString(System.Globalization.CultureInfo.InvariantCulture),
        _ => AsInteger().ToString(System.Globalization.CultureInfo.InvariantCulture),
    };

    /// <summary>The bytes of a value of a type, or 0 for strings and arrays, whose length varies.</summary>
    internal static int ElementBytes(GgufValueType type) => type switch
    {
        GgufValueType.UInt8 or GgufValueType.Int8 or GgufValueType.Bool => 1,
        GgufValueType.UInt16 or GgufValueType.Int16 => 2,
        GgufValueType.UInt32 or GgufValueType.Int32 or GgufValueType.Float32 => 4,
        GgufValueType.UInt64 or GgufValueType.Int64 or GgufValueType.Float64 => 8,
        _ => 0,
    };

    internal static void WriteText(Stream stream, string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        Span<byte> length = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteInt64LittleEndian(length, utf8.Length);
        stream.Write(length);
        stream.Write(utf8);
    }

    private static byte[] ArrayHeader(GgufValueType type, int count)
    {
        byte[] header = new byte[ArrayHeaderBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(header, (uint)type);
        BinaryPrimitives.WriteInt64LittleEndian(header.AsSpan(sizeof(uint)), count);
        return header;
    }

    private static byte[] Elements<T>(GgufValueType type, ReadOnlySpan<T> values)
        where T : unmanaged
    {
        if (ElementBytes(type) != Unsafe.SizeOf<T>())
            throw new ArgumentException($"A {type} is not held in a {typeof(T).Name}.", nameof(type));
        return MemoryMarshal.AsBytes(values).ToArray();
    }

    private ReadOnlySpan<byte> OfType(GgufValueType type) => Type == type ? bytes.Span : throw NotOf($"of type {type}");

    private InvalidOperationException NotOf(string wanted) => new($"The value is of type {Type}, not {wanted}.");
}
