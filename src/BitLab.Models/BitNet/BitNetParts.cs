using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>Makes the parts of a model with what they begin with, by their paths.</summary>
/// <param name="config">The model's architecture.</param>
/// <param name="quantConfig">How its layers quantize.</param>
internal abstract class BitNetParts(BitNetConfig config, BitQuantConfig quantConfig)
{
    protected BitNetConfig Config => config;

    protected BitQuantConfig QuantConfig => quantConfig;

    /// <summary>The epsilon of the norm that each ternary layer has on its input, or null where it has none.</summary>
    protected double? InputNormEps => config.Quantization is { UseRmsNorm: true, RmsNormEps: float eps } ? eps : null;

    /// <summary>The weight of the embedding or of the head: (rows, columns), float32.</summary>
    public abstract Tensor Matrix(string path, long rows, long columns);

    /// <summary>An RMS norm.</summary>
    public abstract RMSNorm Norm(string path, long features);

    /// <summary>One of the seven linear layers of a layer, ternary unless the config excepts it.</summary>
    public abstract nn.Module<Tensor, Tensor> Linear(string path, long inFeatures, long outFeatures);

    /// <summary>A latent ternary layer without bias over a weight (out, in).</summary>
    protected BitLinear LatentLinear(Tensor weight) => new(
        nn.Parameter(weight), bias: null, quantConfig, subLN: InputNormEps is not null, subLNEps: InputNormEps ?? 0);

    /// <summary>A float layer without bias over a weight (out, in).</summary>
    public static Linear FloatLinear(Tensor weight)
    {
        // On the meta device it allocates nothing and draws no random numbers, both of which are much for a vocabulary.
        Linear linear = nn.Linear(weight.size(1), weight.size(0), hasBias: false, device: META);
        linear.weight = nn.Parameter(weight);
        return linear;
    }
}
