using static TorchSharp.torch;

namespace BitLab.Analysis;

/// <summary>How well a model does, as one number.</summary>
/// <param name="Name">What tables call it.</param>
/// <param name="HigherIsBetter">As of an accuracy; false: as of a loss.</param>
/// <param name="Of">The number for a batch, from the model's output and the batch's target: a mean over its examples. Its
/// temporaries are freed for it.</param>
public sealed record Metric(string Name, bool HigherIsBetter, Func<Tensor, Tensor, double> Of)
{
    /// <summary>The part of the examples whose largest output is the target's. Output (*, classes), target (*) int64.</summary>
    public static Metric Accuracy { get; } = new("accuracy", HigherIsBetter: true, (output, target) =>
        output.argmax(-1).eq(target).to(ScalarType.Float64).mean().item<double>());

    /// <summary>-log of the probability that softmax gives the target. Output (*, classes), target (*) int64.</summary>
    public static Metric CrossEntropy { get; } = new("cross entropy", HigherIsBetter: false, (output, target) =>
        nn.functional.cross_entropy(output.flatten(0, -2).to(ScalarType.Float64), target.flatten()).item<double>());

    /// <summary>The mean of squared differences. Output and target of one shape.</summary>
    public static Metric MeanSquaredError { get; } = new("mean squared error", HigherIsBetter: false, (output, target) =>
        nn.functional.mse_loss(output.to(ScalarType.Float64), target.to(ScalarType.Float64)).item<double>());
}
