using System.Text.Json;

namespace BitLab.Core;

/// <summary>The fields of a JSON object from outside, each checked as it is read. An absent field or a null is its
/// default.</summary>
/// <param name="element">The object.</param>
/// <param name="source">What an error calls it: the file, in quotes.</param>
internal readonly struct JsonFields(JsonElement element, string source)
{
    private const int MaxListLength = 1024;

    public string Source => source;

    public bool Has(string name) => TryGet(name, out _);

    public JsonFields? Object(string name)
    {
        if (!TryGet(name, out JsonElement value))
            return null;
        return value.ValueKind == JsonValueKind.Object ? new JsonFields(value, $"{source}, {name}") : throw Bad(name, value, "an object");
    }

    public int Integer(string name, int absent, int min, int max)
    {
        if (!TryGet(name, out JsonElement value))
            return absent;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int integer) && integer >= min && integer <= max
            ? integer
            : throw Bad(name, value, $"a whole number from {min} to {max}");
    }

    public float Number(string name, float absent, float min, float max)
    {
        if (!TryGet(name, out JsonElement value))
            return absent;
        return value.ValueKind == JsonValueKind.Number && value.TryGetSingle(out float number) && number >= min && number <= max
            ? number
            : throw Bad(name, value, $"a number from {min} to {max}");
    }

    public bool Flag(string name, bool absent)
    {
        if (!TryGet(name, out JsonElement value))
            return absent;
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw Bad(name, value, "true or false");
    }

    public string? Text(string name)
    {
        if (!TryGet(name, out JsonElement value))
            return null;
        return value.ValueKind == JsonValueKind.String ? value.GetString() : throw Bad(name, value, "a string");
    }

    public IReadOnlyList<string> Texts(string name)
    {
        if (!TryGet(name, out JsonElement value))
            return [];
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > MaxListLength
            || value.EnumerateArray().Any(item => item.ValueKind != JsonValueKind.String))
            throw Bad(name, value, $"a list of at most {MaxListLength} strings");
        return [.. value.EnumerateArray().Select(item => item.GetString()!)];
    }

    /// <summary>One token, a list of tokens, or none. Some files say -1 for none.</summary>
    public IReadOnlyList<int> Tokens(string name, IReadOnlyList<int> absent)
    {
        if (!element.TryGetProperty(name, out JsonElement value))
            return absent;
        if (value.ValueKind == JsonValueKind.Null)
            return [];
        JsonElement[] items = value.ValueKind != JsonValueKind.Array ? [value]
            : value.GetArrayLength() <= MaxListLength ? [.. value.EnumerateArray()]
            : throw Bad(name, value, $"at most {MaxListLength} tokens");
        var tokens = new List<int>();
        foreach (JsonElement item in items)
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt32(out int token) || token < -1)
                throw Bad(name, value, "a token's number, or a list of them");
            if (token >= 0)
                tokens.Add(token);
        }
        return tokens;
    }

    public InvalidDataException Bad(string name, string expected) =>
        TryGet(name, out JsonElement value) ? Bad(name, value, expected) : new($"{source}: {name} is absent; expected {expected}.");

    private InvalidDataException Bad(string name, JsonElement value, string expected)
    {
        const int Shown = 100;
        string text = value.ValueKind is JsonValueKind.Object or JsonValueKind.Array ? $"an {value.ValueKind}" : value.GetRawText();
        return new InvalidDataException(
            $"{source}: {name} is {(text.Length > Shown ? text[..Shown] + "..." : text)}; expected {expected}.");
    }

    private bool TryGet(string name, out JsonElement value) =>
        element.TryGetProperty(name, out value) && value.ValueKind != JsonValueKind.Null;
}
