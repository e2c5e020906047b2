using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>The quantizers as LibTorch's operations: any device, any float type, any strides.</summary>
internal static class TorchFakeQuantization
{
    public static Tensor Weights(Tensor weights, BitQuantConfig config, float lambda)
    {
        using DisposeScope scope = NewDisposeScope();
        using (no_grad())
        {
            Tensor w = weights.detach().to(ScalarType.Float32);
            Tensor scale = Scale(w, config);
            // Adding 0 makes -0 to 0, as in the packed form.
            Tensor value = (w * scale.reciprocal()).round_().clamp_(-1, 1).add_(0).mul_(scale);
            Tensor? passes = config.Gradient == StraightThroughGradient.Clipped ? PassFactors(w, scale, lambda) : null;
            return WithGradientOf(weights, Between(w, value, lambda), passes).MoveToOuterDisposeScope();
        }
    }

    public static Tensor Activations(Tensor activations, BitQuantConfig config, float lambda)
    {
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
            Tensor value = (x * full_like(range, 127f).div_(range)).round_().clamp_(-128, 127).add_(0).mul_(range / 127f);
            return WithGradientOf(activations, Between(x, value, lambda), passes: null).MoveToOuterDisposeScope();
        }
    }

    /// <summary>What a gradient is multiplied by where it is clipped: 1 within the scale; outside, where clamp(w) is constant, what
    /// lambda leaves of w.</summary>
    /// <param name="weights">Float32.</param>
    /// <param name="scale">One, or one for each row, in the weights' rank.</param>
    /// <param name="lambda">How far the weights are quantized.</param>
    public static Tensor PassFactors(Tensor weights, Tensor scale, float lambda)
    {
        using Tensor magnitudes = weights.abs();
        using Tensor isInside = magnitudes <= scale;
        return isInside.to(ScalarType.Float32).mul_(lambda).add_(1 - lambda);
    }

    private static Tensor Scale(Tensor weights, BitQuantConfig config)
    {
        Tensor rows = weights.reshape(config.WeightGranularity == Granularity.PerTensor ? 1 : weights.size(0), -1).abs();
        Tensor scale;
        if (config.WeightScale == WeightScale.Absmedian)
        {
            // Infinite weights, which a median can overlook, add NaN.
            Tensor largest = rows.amax([1L], keepdim: true);
            scale = rows.kthvalue((rows.size(1) + 1) / 2, dim: 1, keepdim: true).values + (largest - largest);
        }
        else
        {
            // Apple's GPUs have no double precision; everywhere else the mean is taken in it, as on the CPU's packed path.
            scale = rows.mean([1L], keepdim: true, type: weights.device_type == DeviceType.MPS ? ScalarType.Float32 : ScalarType.Float64)
                .to(ScalarType.Float32);
        }
        return scale.clamp_min(Absmean.Epsilon).reshape([-1L, .. Enumerable.Repeat(1L, (int)weights.ndim - 1)]);
    }

    private static Tensor Between(Tensor x, Tensor value, float lambda) =>
        lambda == 1 ? value : (value - x).mul_(lambda).add_(x);

    // x - x.detach() is an exact zero that carries x's gradient, so the value is exactly the quantizer's; the usual
    // x + (q - x).detach() is off by the rounding of the two additions. Where x is not finite, neither is the value.
    private static Tensor WithGradientOf(Tensor x, Tensor quantized, Tensor? passes)
    {
        Tensor value = quantized.to(x.dtype);
        if (!x.requires_grad)
            return value;
        using (enable_grad())
        {
            Tensor carrier = passes is null ? x : x * passes.to(x.dtype);
            return value + (carrier - carrier.detach());
        }
    }
}
