using BitLab.Layers;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>What a <see cref="BitTrainer"/> does.</summary>
public sealed record BitTrainerOptions
{
    /// <summary>Steps of the optimizer in the whole training.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public required long Steps
    {
        get;
        init => field = AtLeastOne(value, nameof(Steps));
    }

    /// <summary>The learning rate; null: a cosine from 1e-3 down to 0 after 5 % of warm-up.</summary>
    public LearningRateSchedule? LearningRate { get; init; }

    /// <summary>How far the layers quantize, and when weight decay ends.</summary>
    public TrainingOptions Ternary { get; init; } = new();

    /// <summary>AdamW's weight decay, of parameters of two dimensions and more: biases and norms do not decay. Default:
    /// 0.01.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public double WeightDecay
    {
        get;
        init => field = value >= 0 ? value : throw new ArgumentOutOfRangeException(nameof(value), value, "Weight decay is 0 or more.");
    } = 0.01;

    /// <summary>AdamW's share of the past in the mean of gradients. Default: 0.9.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>AdamW's share of the past in the mean of squared gradients. Default: 0.999.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>The norm that the gradient of all parameters together is cut to; null: no bound. Default: 1.</summary>
    public double? MaxGradientNorm { get; init; } = 1;

    /// <summary>The mean loss of a batch, from outputs and targets; null: cross entropy with classes.</summary>
    public Func<Tensor, Tensor, Tensor>? Loss { get; init; }

    /// <summary>A teacher to learn from; null: none.</summary>
    public Distillation? Distillation { get; init; }

    /// <summary>Data to evaluate the model on; null: it is not.</summary>
    public Func<IEnumerable<Batch>>? Validation { get; init; }

    /// <summary>The mean metric of a batch, from outputs and targets; null: the share of right classes.</summary>
    public Func<Tensor, Tensor, double>? Metric { get; init; }

    /// <summary>After how many steps the model is evaluated, again and again; the last step always is. Default: 100.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public long EvaluateEvery
    {
        get;
        init => field = AtLeastOne(value, nameof(EvaluateEvery));
    } = 100;

    /// <summary>What makes an evaluation the best: the lowest value. Default: the loss.</summary>
    public Func<Evaluation, double> Objective { get; init; } = evaluation => evaluation.Loss;

    /// <summary>After how many evaluations without a better one the training ends; null (the default): it does not.</summary>
    public int? Patience { get; init; }

    /// <summary>Whether the model has the weights of the best evaluation in the end. Default: yes, where there is
    /// <see cref="Validation"/>.</summary>
    public bool KeepBest { get; init; } = true;

    /// <summary>The file to go on from after an interruption; null: none is written. It is replaced only by a complete new
    /// one.</summary>
    public string? CheckpointPath { get; init; }

    /// <summary>After how many steps the checkpoint is written, again and again, beside the end. Default: 1000.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public long CheckpointEvery
    {
        get;
        init => field = AtLeastOne(value, nameof(CheckpointEvery));
    } = 1000;

    /// <summary>A table of steps as a CSV file; null: none. Columns: step, epoch, loss (the mean since the line before),
    /// learning_rate, lambda, validation_loss, validation_metric.</summary>
    public string? CsvPath { get; init; }

    /// <summary>After how many steps there is a line in the CSV file. Default: 10.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public long LogEvery
    {
        get;
        init => field = AtLeastOne(value, nameof(LogEvery));
    } = 10;

    /// <summary>Whether to show a progress bar. There is none where the output is redirected. Default: yes.</summary>
    public bool ShowProgress { get; init; } = true;

    private static long AtLeastOne(long value, string name) =>
        value >= 1 ? value : throw new ArgumentOutOfRangeException(name, value, $"{name} is at least 1.");
}
