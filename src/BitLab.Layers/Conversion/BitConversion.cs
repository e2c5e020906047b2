using BitLab.Core;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>Makes a model ternary where it stands.</summary>
public static class BitConversion
{
    /// <summary>Replaces the <c>Linear</c>s of a model by <see cref="BitLinear"/>s that take over their parameters: the same
    /// objects, under the same keys, in the same order, so that optimizers and checkpoints go on working.</summary>
    /// <remarks>
    /// <para>They are found wherever the model's modules hold them: in <c>Sequential</c>, <c>ModuleList</c>,
    /// <c>ModuleDict</c>, in fields and properties, private and read-only ones too, in arrays, lists, dictionaries, tuples and
    /// objects in fields. Where one of these takes nothing but a <c>Linear</c>, the Linear stays and its calls are answered by
    /// a BitLinear (<see cref="ConversionOutcome.Grafted"/>); the same goes for convolutions.</para>
    /// <para>All is decided before anything is changed. Layers that are ternary already are left alone, so a second conversion
    /// does nothing.</para>
    /// </remarks>
    /// <param name="model">Any TorchSharp module, in train or eval mode, which it keeps.</param>
    /// <param name="options">What to convert and into what; null: <see cref="ConversionOptions.Default"/>, everything but the last
    /// linear layer.</param>
    /// <returns>What became of each layer, and a way back.</returns>
    /// <exception cref="QuantizationException">The model is in eval mode and a weight is NaN or infinite. The model is as
    /// before.</exception>
    /// <exception cref="NotSupportedException">TorchSharp's version is not one that models can be converted with. The model is
    /// as before.</exception>
    public static ConversionReport ConvertToBitLinear(this nn.Module model, ConversionOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        TorchSharpInternals.Check();
        return new ConversionPlan(model, options ?? ConversionOptions.Default).CarryOut();
    }
}
