namespace BitLab.Core;

/// <summary>Metadata values, each checked as it is read.</summary>
/// <param name="file">The file.</param>
internal readonly struct GgufFields(GgufFile file)
{
    /// <summary>A whole number.</summary>
    /// <param name="key">Its key.</param>
    /// <param name="absent">What it is where the key is not there; null where it must be.</param>
    /// <param name="min">The least that it may be.</param>
    /// <param name="max">The most.</param>
    public int Integer(string key, int? absent, int min, int max)
    {
        if (!file.Metadata.TryGetValue(key, out GgufValue? value))
            return absent ?? throw Bad(key, "a whole number");
        bool isWhole = value.Type is GgufValueType.UInt8 or GgufValueType.Int8 or GgufValueType.UInt16 or GgufValueType.Int16
            or GgufValueType.UInt32 or GgufValueType.Int32 or GgufValueType.UInt64 or GgufValueType.Int64;
        // What is beyond 2^63 is negative here, and out of range either way.
        long number = !isWhole ? min - 1L
            : value.Type == GgufValueType.UInt64 ? System.Buffers.Binary.BinaryPrimitives.ReadInt64LittleEndian(value.Bytes)
            : value.AsInteger();
        return number >= min && number <= max ? (int)number : throw Bad(key, $"a whole number from {min} to {max}");
    }

    public float Number(string key, float? absent)
    {
        if (!file.Metadata.TryGetValue(key, out GgufValue? value))
            return absent ?? throw Bad(key, "a number");
        return value.Type is GgufValueType.Float32 or GgufValueType.Float64 && double.IsFinite(value.AsFloat())
            ? (float)value.AsFloat()
            : throw Bad(key, "a number");
    }

    public string? Text(string key)
    {
        if (!file.Metadata.TryGetValue(key, out GgufValue? value))
            return null;
        return value.Type == GgufValueType.String ? value.AsString() : throw Bad(key, "a string");
    }

    /// <summary>A token's number, or null where there is none.</summary>
    public int? Token(string key)
    {
        const int None = -1;
        int token = file.Metadata.ContainsKey(key) ? Integer(key, null, None, int.MaxValue) : None;
        return token == None ? null : token;
    }

    public InvalidDataException Bad(string key, string expected)
    {
        const int Shown = 100;
        string text = file.Metadata.TryGetValue(key, out GgufValue? value) ? $"is {value}" : "is absent";
        return new InvalidDataException(
            $"'{file.Path}': {key} {(text.Length > Shown ? text[..Shown] + "..." : text)}; expected {expected}.");
    }
}
