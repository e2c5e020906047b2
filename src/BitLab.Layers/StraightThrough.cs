using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>Fake quantization for training: values on the grid of the quantizer, gradients as if nothing had
/// happened.</summary>
/// <remarks>The straight-through estimator of Bengio, Léonard and Courville 2013, arXiv:1308.3432. The formulas are those of
/// <see cref="Absmean"/> and <see cref="Absmax"/>, on any device; they are computed in float32 whatever the tensor's
/// type. The scales are part of what the gradient does not see.</remarks>
public static class StraightThrough
{
    /// <summary>Weights on the grid {-scale, 0, scale}.</summary>
    /// <param name="weights">(out, *), of any float type, on any device.</param>
    /// <param name="granularity">One scale, or one for each of the out rows.</param>
    /// <returns>The same shape and type; NaN throughout where a weight is not finite.</returns>
    public static Tensor Weights(Tensor weights, Granularity granularity)
    {
        ArgumentNullException.ThrowIfNull(weights);
        using DisposeScope scope = NewDisposeScope();
        using (no_grad())
        {
            Tensor w = weights.detach().to(ScalarType.Float32);
            Tensor scale = Scale(w, granularity);
            Tensor trits = (w * scale.reciprocal()).round_().clamp_(-1, 1);
            return WithGradientOf(weights, trits.mul_(scale)).MoveToOuterDisposeScope();
        }
    }

    /// <summary>Activations on the int8 grid, or untouched where the config says float32.</summary>
    /// <param name="activations">(*, features), of any float type, on any device.</param>
    /// <param name="config">What the activations become, and what shares a range.</param>
    /// <returns>The same shape and type; NaN for what shares a range with a value that is not finite.</returns>
    public static Tensor Activations(Tensor activations, BitQuantConfig config)
    {
        ArgumentNullException.ThrowIfNull(activations);
        ArgumentNullException.ThrowIfNull(config);
        if (config.ActivationDtype == ActivationDtype.Float32 || activations.numel() == 0)
            return activations.alias();
        using DisposeScope scope = NewDisposeScope();
        using (no_grad())
        {
            Tensor x = activations.detach().to(ScalarType.Float32);
            Tensor magnitudes = x.abs();
            Tensor range = config.ActivationGranularity == Granularity.PerTensor
                ? magnitudes.max()
                : magnitudes.amax([-1L], keepdim: true);
            range = range.clamp_min(Absmax.Epsilon);
            // A quotient, as the kernels take it, not 127 times a reciprocal.
            Tensor q = (x * full_like(range, 127f).div_(range)).round_().clamp_(-128, 127);
            return WithGradientOf(activations, q.mul_(range / 127f)).MoveToOuterDisposeScope();
        }
    }

    /// <summary>The absmean scale: one element, or a column of one for each row.</summary>
    internal static Tensor Scale(Tensor weights, Granularity granularity)
    {
        // Apple's GPUs have no double precision; everywhere else the mean is taken in it, as on the CPU's packed path.
        ScalarType precise = weights.device_type == DeviceType.MPS ? ScalarType.Float32 : ScalarType.Float64;
        Tensor rows = weights.reshape(weights.size(0), -1).abs();
        Tensor mean = granularity == Granularity.PerTensor
            ? rows.mean([0L, 1L], keepdim: true, type: precise)
            : rows.mean([1L], keepdim: true, type: precise);
        Tensor scale = mean.to(ScalarType.Float32).clamp_min(Absmean.Epsilon);
        return scale.reshape([-1L, .. Enumerable.Repeat(1L, (int)weights.ndim - 1)]);
    }

    // x - x.detach() is an exact zero that carries x's gradient, so the value is exactly the quantizer's; the usual
    // x + (q - x).detach() is off by the rounding of the two additions.
    private static Tensor WithGradientOf(Tensor x, Tensor quantized)
    {
        Tensor value = quantized.to(x.dtype);
        if (!x.requires_grad)
            return value;
        using (enable_grad())
            return value + (x - x.detach());
    }
}
