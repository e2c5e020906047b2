using Accuracy.Networks;
using Accuracy.Results;
using BitLab.Layers;
using static TorchSharp.torch;

namespace Accuracy.Tasks;

/// <summary>A data set and a network for it.</summary>
internal abstract class AccuracyTask
{
    /// <summary>The name on the command line.</summary>
    public required string Name { get; init; }

    /// <summary>The name in the table.</summary>
    public required string Title { get; init; }

    /// <summary>Which models are trained; what is distilled comes behind its teacher.</summary>
    public IReadOnlyList<ModelKind> Models { get; init; } = Enum.GetValues<ModelKind>();

    /// <summary>How a float network becomes the one that is distilled: the same layers are ternary as in one from scratch.</summary>
    public ConversionOptions Conversion { get; init; } = ConversionOptions.Default;

    /// <summary>How many seeds.</summary>
    public required int Seeds { get; init; }

    /// <summary>Steps of a training that is reported.</summary>
    public required int Steps { get; init; }

    /// <summary>Steps of a training that helps to choose the learning rate.</summary>
    public required int SearchSteps { get; init; }

    /// <summary>The learning rates of float networks to choose from.</summary>
    public required double[] Rates { get; init; }

    /// <summary>By how much those of ternary networks are larger.</summary>
    public double TernaryRateFactor { get; init; } = 2;

    /// <summary>AdamW's.</summary>
    public double WeightDecay { get; init; } = 0.05;

    /// <summary>The largest gap of the better ternary network behind the better float one that is asked for; null: none
    /// is.</summary>
    public double? Goal { get; init; }

    /// <summary>Whether a smaller score is better: bits a character, not accuracy.</summary>
    public abstract bool IsBits { get; }

    /// <summary>Whether each seed draws its own test part, and so chooses its own rate.</summary>
    public abstract bool IsResplit { get; }

    /// <summary>Whether the reported runs train on the validation part too.</summary>
    public abstract bool TrainsOnValidation { get; }

    /// <summary>Makes a network.</summary>
    public abstract nn.Module<Tensor, Tensor> Create(Recipe recipe);

    /// <summary>The batches of a run, endless: the same for all models.</summary>
    public abstract IEnumerable<(Tensor Input, Tensor Target)> Batches(int seed, Purpose purpose);

    /// <summary>Measures a network, which is in eval mode, on the part that the purpose asks for.</summary>
    public abstract double Measure(nn.Module<Tensor, Tensor> network, int seed, Purpose purpose);

    /// <summary>The learning rates that a model may have.</summary>
    public double[] RatesOf(ModelKind model) => model is ModelKind.Ternary or ModelKind.Distilled
        ? [.. Rates.Select(rate => rate * TernaryRateFactor)]
        : Rates;
}
