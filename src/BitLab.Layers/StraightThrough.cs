using System.Runtime.CompilerServices;
using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>Fake quantization for training: values on the grid of the quantizer, gradients as if nothing had
/// happened.</summary>
/// <remarks>
/// <para>The straight-through estimator of Bengio, Léonard and Courville 2013, arXiv:1308.3432. The scales are part of what the
/// gradient does not see.</para>
/// <para>There are two ways with the same bits: <see cref="FusedFakeQuantization"/> for contiguous float32 on the CPU,
/// <see cref="TorchFakeQuantization"/> for everything else, computed in float32 whatever the tensor's type.</para>
/// </remarks>
public static class StraightThrough
{
    /// <summary>Weights on the grid {-scale, 0, scale}, of the mean of magnitudes, with the gradient of the identity.</summary>
    /// <param name="weights">(out, *), of any float type, on any device.</param>
    /// <param name="granularity">One scale, or one for each of the out rows.</param>
    /// <returns>The same shape and type; NaN throughout where a weight is not finite.</returns>
    public static Tensor Weights(Tensor weights, Granularity granularity) =>
        Weights(weights, BitQuantConfig.Default with { WeightGranularity = granularity });

    /// <summary>Weights on the grid {-scale, 0, scale}, or on the way there.</summary>
    /// <param name="weights">(out, *), of any float type, on any device.</param>
    /// <param name="config">What shares a scale, what that is taken from, and which gradient the weights get.</param>
    /// <param name="lambda">0: the weights untouched; 1: quantized; between: w + lambda · (quantized - w).</param>
    /// <returns>The same shape and type; NaN for what shares a scale with a weight that is not finite.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="lambda"/> is not in 0 to 1.</exception>
    public static Tensor Weights(Tensor weights, BitQuantConfig config, float lambda = 1) =>
        Weights(weights, config, lambda, isMultiplied: false);

    /// <summary>The same for weights that go into a product.</summary>
    internal static Tensor Weights(Tensor weights, BitQuantConfig config, float lambda, bool isMultiplied)
    {
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentNullException.ThrowIfNull(config);
        if (CheckLambda(lambda) == 0 || weights.numel() == 0)
            return weights.alias();
        return IsPlain(weights)
            ? FusedFakeQuantization.Weights(weights, config, lambda, isMultiplied)
            : TorchFakeQuantization.Weights(weights, config, lambda);
    }

    /// <summary>Activations on the int8 grid, or on the way there, or untouched where the config says float32.</summary>
    /// <param name="activations">(*, features), of any float type, on any device.</param>
    /// <param name="config">What the activations become, and what shares a range.</param>
    /// <param name="lambda">0: the activations untouched; 1: quantized; between: x + lambda · (quantized - x).</param>
    /// <returns>The same shape and type; NaN for what shares a range with a value that is not finite.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="lambda"/> is not in 0 to 1.</exception>
    public static Tensor Activations(Tensor activations, BitQuantConfig config, float lambda = 1)
    {
        ArgumentNullException.ThrowIfNull(activations);
        ArgumentNullException.ThrowIfNull(config);
        if (CheckLambda(lambda) == 0 || config.ActivationDtype == ActivationDtype.Float32 || activations.numel() == 0)
            return activations.alias();
        return IsPlain(activations)
            ? FusedFakeQuantization.Activations(activations, config, lambda)
            : TorchFakeQuantization.Activations(activations, config, lambda);
    }

    internal static float CheckLambda(float lambda, [CallerArgumentExpression(nameof(lambda))] string? name = null) =>
        lambda is >= 0 and <= 1
            ? lambda
            : throw new ArgumentOutOfRangeException(name, lambda, "Lambda goes from 0 (not quantized) to 1 (quantized).");

    // The packed form has the same bounds.
    private static bool IsPlain(Tensor x) =>
        x.dtype == ScalarType.Float32 && x.device_type == DeviceType.CPU && x.ndim > 0 && x.is_contiguous() && x.numel() <= int.MaxValue;
}
