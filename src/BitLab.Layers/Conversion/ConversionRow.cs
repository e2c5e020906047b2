namespace BitLab.Layers;

/// <summary>What became of a layer in a conversion.</summary>
public enum ConversionOutcome
{
    /// <summary>A <see cref="BitLinear"/> with the same parameters stands in its place.</summary>
    Replaced,

    /// <summary>It stands where it stood, for its holder takes nothing else, and calls of it are answered by a
    /// ternary layer with the same parameters.</summary>
    Grafted,

    /// <summary>It was ternary before.</summary>
    AlreadyTernary,

    /// <summary>The options say to leave it alone.</summary>
    Kept,

    /// <summary>It cannot be converted.</summary>
    NotConvertible,
}

/// <summary>A layer in a <see cref="ConversionReport"/>.</summary>
/// <param name="Name">Its path in the model; empty for the model itself.</param>
/// <param name="Layer">What it was: <c>Linear</c>, ...</param>
/// <param name="Shape">Its weights' shape, (out, in); empty where there is no single one.</param>
/// <param name="BytesBefore">Bytes of its parameters before; of a deployed layer, with its packed weights.</param>
/// <param name="BytesAfter">Bytes of its parameters once the model is deployed; before that they are as they were.</param>
/// <param name="Outcome">What became of it.</param>
/// <param name="Why">Why it was not converted, or not replaced; empty where there is nothing to say.</param>
public sealed record ConversionRow(
    string Name, string Layer, IReadOnlyList<long> Shape, long BytesBefore, long BytesAfter, ConversionOutcome Outcome, string Why)
{
    /// <summary>Whether this conversion made the layer ternary.</summary>
    public bool IsConverted => Outcome is ConversionOutcome.Replaced or ConversionOutcome.Grafted;
}
