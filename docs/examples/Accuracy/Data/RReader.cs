using System.Buffers.Binary;
using System.Text;

namespace Accuracy.Data;

/// <summary>Reads R's serialization in its XDR form: vectors, lists, factors, data frames; no functions, no environments.</summary>
/// <remarks>The format: "R Internals", section 1.8, "Serialization Formats". A number of 32 bits before each item holds its
/// type (bits 0 to 7), whether attributes (bit 9) and a tag (bit 10) are there.</remarks>
internal ref struct RReader
{
    private const int HasAttributes = 1 << 9, HasTag = 1 << 10;
    private readonly string name;
    private readonly List<RValue> references = [];
    private ReadOnlySpan<byte> rest;

    private RReader(ReadOnlySpan<byte> bytes, string name)
    {
        this.name = name;
        rest = bytes;
    }

    /// <summary>Reads one value: the content of an .rds file, or, as a list with names, that of an .rda file.</summary>
    /// <param name="bytes">All of it, decompressed.</param>
    /// <param name="name">What errors call it.</param>
    /// <exception cref="InvalidDataException">It is not of this format, ends too early, or holds what is not read
    /// here.</exception>
    public static RValue Read(ReadOnlySpan<byte> bytes, string name)
    {
        if (bytes.StartsWith("RDX2\n"u8) || bytes.StartsWith("RDX3\n"u8))
            bytes = bytes[5..];
        if (!bytes.StartsWith("X\n"u8))
            throw new InvalidDataException($"{name} is not R data in XDR form.");
        var reader = new RReader(bytes[2..], name);
        int version = reader.Int();
        reader.Take(8); // who wrote it, and who can read it
        if (version == 3)
            reader.Take(reader.Int()); // the name of the native encoding
        else if (version != 2)
            throw new InvalidDataException($"{name} is R data of version {version}; 2 and 3 are read.");
        return reader.Item();
    }

    private RValue Item()
    {
        int flags = Int(), type = flags & 0xFF;
        switch (type)
        {
            case 254: // NULL
                return new RValue(null, RValue.None);
            case 255: // what was written before
                int index = flags >> 8;
                index = index == 0 ? Int() : index;
                return index >= 1 && index <= references.Count ? references[index - 1] : throw Bad($"refers to item {index}");
            case 1: // a symbol
                var symbol = new RValue(Item().Data as string ?? throw Bad("has a symbol without a name"), RValue.None);
                references.Add(symbol);
                return symbol;
            case 2: // a list of pairs
                return Pairs(flags);
            case 9: // a string
                int length = Int();
                return new RValue(length == -1 ? null : Encoding.UTF8.GetString(Take(length)), RValue.None);
        }
        object data = type switch
        {
            10 or 13 => Ints(),
            14 => Doubles(),
            16 => Array.ConvertAll(Items(), item => item.Data as string),
            19 => Items(),
            _ => throw Bad($"has an item of type {type}"),
        };
        return new RValue(data, (flags & HasAttributes) != 0 ? Names(Item()) : RValue.None);
    }

    // Attributes, and what an .rda file holds: a chain of (tag, value).
    private RValue Pairs(int flags)
    {
        var names = new List<string?>();
        var values = new List<RValue>();
        while ((flags & 0xFF) == 2)
        {
            if ((flags & HasAttributes) != 0)
                Item();
            names.Add((flags & HasTag) != 0 ? Item().Data as string : null);
            values.Add(Item());
            flags = Int();
        }
        return (flags & 0xFF) == 254
            ? new RValue(values.ToArray(), new Dictionary<string, RValue> { ["names"] = new(names.ToArray(), RValue.None) })
            : throw Bad("has a chain without an end");
    }

    private static Dictionary<string, RValue> Names(RValue pairs)
    {
        var attributes = new Dictionary<string, RValue>();
        string[] names = pairs.Attributes["names"].Strings;
        for (int i = 0; i < names.Length; i++)
            attributes[names[i]] = pairs.List[i];
        return attributes;
    }

    private RValue[] Items()
    {
        // An item takes 4 bytes or more.
        var items = new RValue[Length(4)];
        for (int i = 0; i < items.Length; i++)
            items[i] = Item();
        return items;
    }

    private int[] Ints()
    {
        int[] values = new int[Length(sizeof(int))];
        for (int i = 0; i < values.Length; i++)
            values[i] = Int();
        return values;
    }

    private double[] Doubles()
    {
        double[] values = new double[Length(sizeof(double))];
        for (int i = 0; i < values.Length; i++)
            values[i] = BinaryPrimitives.ReadDoubleBigEndian(Take(sizeof(double)));
        return values;
    }

    private int Length(int size)
    {
        int length = Int();
        return length >= 0 && (long)length * size <= rest.Length ? length : throw Bad($"has a vector of {length} items");
    }

    private int Int() => BinaryPrimitives.ReadInt32BigEndian(Take(sizeof(int)));

    private ReadOnlySpan<byte> Take(int count)
    {
        if (count < 0 || count > rest.Length)
            throw Bad("ends too early");
        ReadOnlySpan<byte> taken = rest[..count];
        rest = rest[count..];
        return taken;
    }

    private readonly InvalidDataException Bad(string what) => new($"{name} {what}, {rest.Length} bytes before its end.");
}
