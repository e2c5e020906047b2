using System.Diagnostics.Metrics;

namespace BitLab.Models;

/// <summary>What a training tells to who listens.</summary>
internal static class TrainingMeters
{
    private static readonly Meter Meter = new(BitTrainer.MeterName);

    public static readonly Counter<long> Samples = Meter.CreateCounter<long>("bitlab.training.samples", "{sample}", "Samples trained on.");

    public static readonly Histogram<double> StepDuration =
        Meter.CreateHistogram<double>("bitlab.training.step.duration", "s", "How long a step takes.");

    public static readonly Gauge<double> Loss = Meter.CreateGauge<double>("bitlab.training.loss", "1", "The last step's loss.");

    public static readonly Gauge<double> LearningRate =
        Meter.CreateGauge<double>("bitlab.training.learning_rate", "1", "The last step's learning rate.");

    public static readonly Gauge<double> Lambda =
        Meter.CreateGauge<double>("bitlab.training.lambda", "1", "How far the layers quantized in the last step.");

    public static readonly Gauge<double> ValidationLoss =
        Meter.CreateGauge<double>("bitlab.training.validation.loss", "1", "The last evaluation's loss.");
}
