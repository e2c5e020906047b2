using BitLab.Layers;

namespace BitLab.Analysis;

/// <summary>How the trits of a layer are chosen.</summary>
public enum CalibrationMethod
{
    /// <summary>By size, as absmean does it, but with the threshold and the scale that fit best.</summary>
    Thresholds,

    /// <summary>One after another, each making up for the errors of those before, and then once more around until no single change
    /// makes the error smaller.</summary>
    ErrorFeedback,
}

/// <summary>What a calibration converts, and how.</summary>
public sealed record CalibrationOptions
{
    /// <summary>Every linear layer but the last, by error feedback, with biases corrected.</summary>
    public static CalibrationOptions Default { get; } = new();

    /// <summary>Which layers to convert, and into what: <see cref="AnalysisReport.RecommendedOptions"/>, for example. The weights'
    /// scale must be absmean.</summary>
    public ConversionOptions Conversion { get; init; } = ConversionOptions.Default;

    /// <summary>How trits are chosen. Default: <see cref="CalibrationMethod.ErrorFeedback"/>.</summary>
    public CalibrationMethod Method { get; init; } = CalibrationMethod.ErrorFeedback;

    /// <summary>Whether biases take up the mean of what is left of the error. Layers without a bias get none. Default:
    /// yes.</summary>
    public bool CorrectsBias { get; init; } = true;

    /// <summary>What is added to the diagonal of the inputs' second moments, as a part of its mean: the larger, the closer the
    /// result stays to the float weights, and the less it follows inputs that the data shows seldom. Default: 0.01.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not above 0.</exception>
    public double Damping
    {
        get;
        init => field = value > 0 && double.IsFinite(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The damping is a number above 0.");
    }
    = 0.01;
}
