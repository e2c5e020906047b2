using BitLab.Layers;

namespace BitLab.Analysis;

/// <summary>What an analysis looks at.</summary>
public sealed record AnalysisOptions
{
    /// <summary>Every linear layer, the default config, accuracy, at most one point lost.</summary>
    public static AnalysisOptions Default { get; } = new();

    /// <summary>Which layers would be converted, and into what. Default: all of them, the last one too: whether it should be
    /// kept is for the analysis to say.</summary>
    public ConversionOptions Conversion { get; init; } = new() { KeepLast = false };

    /// <summary>How well the model does. Default: <see cref="Metric.Accuracy"/>.</summary>
    public Metric Metric { get; init; } = Metric.Accuracy;

    /// <summary>How much worse than the float model's the metric of the recommended conversion may be, in the metric's own
    /// unit. Default: 0.01, a point of accuracy.</summary>
    public double MaxDrop { get; init; } = 0.01;
}
