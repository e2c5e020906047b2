using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>What one step of a training sees.</summary>
/// <param name="Input">(batch, *): what the model is called with.</param>
/// <param name="Target">(batch, *): what the loss compares with.</param>
public readonly record struct Batch(Tensor Input, Tensor Target);
