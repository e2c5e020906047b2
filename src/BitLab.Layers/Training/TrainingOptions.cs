namespace BitLab.Layers;

/// <summary>What changes while a ternary model trains. How its layers quantize is their
/// <see cref="Core.BitQuantConfig"/>.</summary>
public sealed record TrainingOptions
{
    /// <summary>How far the layers quantize (<see cref="BitLayerBase.Lambda"/>); by default fully from the first step
    /// on.</summary>
    public LambdaSchedule Lambda { get; init; } = LambdaSchedule.Full;

    /// <summary>After how many steps weight decay is off; null (the default): never.</summary>
    /// <remarks>Microsoft, "The Era of 1-bit LLMs: Training Tips, Code and FAQ": the larger a latent weight, the surer its
    /// trit; decay makes trits flip, which helps at first and disturbs in the end. BitNet b1.58 2B4T (arXiv:2504.12285) trained so
    /// too.</remarks>
    public long? WeightDecaySteps { get; init; }
}
