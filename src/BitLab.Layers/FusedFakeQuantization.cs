using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>The quantizers in one pass over memory, by several threads, for contiguous float32 tensors on the CPU.</summary>
/// <remarks>The gradient is LibTorch's own: an operation that has it makes the result (a copy has that of the identity), and the
/// quantizer then overwrites the values. TorchSharp's autograd functions cost more: they keep a reference to each gradient
/// that they return, so LibTorch copies it for the optimizer, and they allocate each result a second time.</remarks>
internal static unsafe class FusedFakeQuantization
{
    public static Tensor Weights(Tensor weights, BitQuantConfig config, float lambda)
    {
        long rows = weights.size(0), columns = weights.numel() / rows;
        bool wantsGradient = WantsGradient(weights);
        if (wantsGradient && config.Gradient == StraightThroughGradient.Clipped)
            return ClippedWeights(weights, rows, columns, config, lambda);
        Tensor values = wantsGradient ? weights.clone() : empty_like(weights);
        FakeQuantization.Weights(Pointer(weights), rows, columns, config, lambda, Pointer(values), scales: null);
        return values;
    }

    public static Tensor Activations(Tensor activations, BitQuantConfig config, float lambda)
    {
        long columns = activations.size(-1);
        Tensor values = WantsGradient(activations) ? activations.clone() : empty_like(activations);
        FakeQuantization.Activations(
            Pointer(activations), activations.numel() / columns, columns, config.ActivationGranularity, lambda, Pointer(values));
        return values;
    }

    private static Tensor ClippedWeights(Tensor weights, long rows, long columns, BitQuantConfig config, float lambda)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor quantized = empty_like(weights), factors;
        using (no_grad())
        {
            bool isPerTensor = config.WeightGranularity == Granularity.PerTensor;
            Tensor scale = empty([isPerTensor ? 1 : rows, .. Enumerable.Repeat(1L, (int)weights.ndim - 1)]);
            FakeQuantization.Weights(Pointer(weights), rows, columns, config, lambda, Pointer(quantized), Pointer(scale));
            factors = TorchFakeQuantization.PassFactors(weights.detach(), scale, lambda);
        }
        Tensor values = weights * factors;
        long bytes = values.numel() * sizeof(float);
        Buffer.MemoryCopy(Pointer(quantized), Pointer(values), bytes, bytes);
        return values.MoveToOuterDisposeScope();
    }

    private static bool WantsGradient(Tensor x) => x.requires_grad && is_grad_enabled();

    private static float* Pointer(Tensor tensor) => (float*)TensorMemory.Pointer(tensor);
}
