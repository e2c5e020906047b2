namespace BitLab.Analysis;

/// <summary>What making one layer ternary does.</summary>
public sealed record LayerAnalysis
{
    /// <summary>Its path in the model; empty for the model itself.</summary>
    public required string Name { get; init; }

    /// <summary>What it is: <c>Linear</c>, ...</summary>
    public required string Layer { get; init; }

    /// <summary>Its weights' shape, (out, in).</summary>
    public required IReadOnlyList<long> Shape { get; init; }

    /// <summary>How often the model called it. 0: not at all, or by <c>forward</c> instead of <c>call</c>; then a conversion
    /// changes nothing or goes unnoticed here.</summary>
    public required int Calls { get; init; }

    /// <summary>‖y_q - y‖ / ‖y‖ over all calls: y the layer's float output, y_q the ternary layer's for the same input, the one that
    /// it gets in the float model. 0 where it is not called.</summary>
    public required double Error { get; init; }

    /// <summary>The part of the trits that are 0.</summary>
    public required double Sparsity { get; init; }

    /// <summary>What a trit of 1 is worth; with a scale for each row, their mean.</summary>
    public required double Scale { get; init; }

    /// <summary>Bytes of its parameters.</summary>
    public required long BytesBefore { get; init; }

    /// <summary>Bytes of its parameters once converted and deployed.</summary>
    public required long BytesAfter { get; init; }

    /// <summary>The model's metric with this layer alone ternary.</summary>
    public required double Metric { get; init; }

    /// <summary>How much worse that is than the float model's; negative: better.</summary>
    public required double Drop { get; init; }

    /// <summary>1 for the layer that the metric suffers most from, and so on; equal drops are ordered by
    /// <see cref="Error"/>.</summary>
    public required int Rank { get; init; }

    /// <summary>Whether the recommendation is to leave it as it is.</summary>
    public required bool Keep { get; init; }
}
