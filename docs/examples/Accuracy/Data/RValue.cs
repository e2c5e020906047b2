namespace Accuracy.Data;

/// <summary>A value of R.</summary>
/// <param name="Data">int[] (logicals, integers and the codes of factors), double[], string?[], RValue[] (lists), string (a
/// symbol) or null.</param>
/// <param name="Attributes">By their names; a list's are in "names", a factor's words in "levels".</param>
internal sealed record RValue(object? Data, IReadOnlyDictionary<string, RValue> Attributes)
{
    public static IReadOnlyDictionary<string, RValue> None { get; } = new Dictionary<string, RValue>();

    /// <summary>The element of a list by its name.</summary>
    /// <exception cref="InvalidDataException">This is no list with names, or none has this one.</exception>
    public RValue this[string name] =>
        Data is RValue[] list && Attributes.TryGetValue("names", out RValue? names) && names.Data is string?[] words
            && Array.IndexOf(words, name) is >= 0 and int i && i < list.Length
            ? list[i]
            : throw new InvalidDataException($"The R data has no element '{name}'.");

    /// <summary>The elements, where this is a list.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public RValue[] List => Data as RValue[] ?? throw Unlike("a list");

    /// <summary>The words, where this is a vector of strings; what is missing is empty.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public string[] Strings =>
        Data is string?[] strings ? [.. strings.Select(s => s ?? "")] : throw Unlike("a vector of strings");

    /// <summary>The numbers, where this is a vector of integers, reals or a factor.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public double[] Numbers => Data switch
    {
        double[] reals => reals,
        int[] integers => [.. integers.Select(i => (double)i)],
        _ => throw Unlike("a vector of numbers"),
    };

    private InvalidDataException Unlike(string expected) =>
        new($"Expected {expected}, the R data has {Data?.GetType().Name ?? "nothing"}.");
}
