namespace BitLab.Analysis;

/// <summary>What calibration did to one layer. Errors are ‖y_q - y‖ / ‖y‖ over the data: y the float model's outputs, y_q the
/// ternary layer's for what the calibrated layers before it hand it.</summary>
public sealed record CalibratedLayer
{
    /// <summary>Its path in the model; empty for the model itself.</summary>
    public required string Name { get; init; }

    /// <summary>How many rows of inputs it was fitted to.</summary>
    public required long Tokens { get; init; }

    /// <summary>The error with the weights rounded by absmean and the bias as it was.</summary>
    public required double ErrorBefore { get; init; }

    /// <summary>The error with the trits, scale and bias that were fitted.</summary>
    public required double ErrorAfter { get; init; }

    /// <summary>The part of the trits that are 0.</summary>
    public required double Sparsity { get; init; }

    /// <summary>What a trit of 1 is worth; with a scale for each row, their mean.</summary>
    public required double Scale { get; init; }
}
