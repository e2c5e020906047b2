using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>The quantizers in one pass over memory, by several threads, for contiguous float32 tensors on the CPU.</summary>
/// <remarks>The gradient is LibTorch's own: an operation that has it makes the result (a copy has that of the identity), and the
/// quantizer then overwrites the values; weights that go into a product need no copy (<see cref="IdentityGradient"/>).
/// TorchSharp's autograd functions cost more: they keep a reference to each gradient that they return, so LibTorch copies it for
/// the optimizer, and they allocate each result a second time.</remarks>
internal static unsafe class FusedFakeQuantization
{
    /// <param name="weights">As the door says.</param>
    /// <param name="config">As the door says.</param>
    /// <param name="lambda">As the door says.</param>
    /// <param name="isMultiplied">Whether the result goes into a product, so that its gradient is a tensor of its own.</param>
    public static Tensor Weights(Tensor weights, BitQuantConfig config, float lambda, bool isMultiplied)
    {
        long rows = weights.size(0), columns = weights.numel() / rows;
        bool wantsGradient = WantsGradient(weights);
        if (wantsGradient && config.Gradient == StraightThroughGradient.Clipped)
            return ClippedWeights(weights, rows, columns, config, lambda);
        bool isAttached = wantsGradient && isMultiplied;
        Tensor values = wantsGradient && !isAttached ? weights.clone() : empty_like(weights);
        FakeQuantization.Weights(Pointer(weights), rows, columns, config, lambda, Pointer(values), scales: null);
        if (!isAttached)
            return values;
        using (values)
            return IdentityGradient.Attach(values, weights);
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
