using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Benchmarks;

/// <summary>A deployed <see cref="BitLinear"/>, made to use a kernel.</summary>
/// <param name="name">What tables and plots call it.</param>
/// <param name="kernel">The kernel or the group of kernels.</param>
/// <param name="activations">What the layer quantizes its inputs to.</param>
/// <param name="coldBytes">See <see cref="TorchContestant{T}"/>.</param>
/// <param name="packing">How the layer holds its weights.</param>
internal sealed class BitLinearContestant(
    string name, string kernel, ActivationDtype activations, long coldBytes, WeightPacking packing = WeightPacking.TwoBit)
    : TorchContestant<BitLinear>(name, coldBytes)
{
    private readonly BitQuantConfig config = new() { ActivationDtype = activations };

    public override void Run(int iterations)
    {
        using IDisposable? forced = Force();
        base.Run(iterations);
    }

    public override Product Compute()
    {
        using IDisposable? forced = Force();
        return base.Compute();
    }

    protected override BitLinear Create(Shape shape)
    {
        var layer = new BitLinear(shape.K, shape.N, hasBias: false, config: config);
        layer.Deploy(packing);
        return layer;
    }

    protected override long BytesOf(BitLinear layer) => layer.PackedBytes;

    protected override Tensor WeightsOf(BitLinear layer)
    {
        using Tensor trits = layer.QWeight, scale = layer.QWeightScale;
        return trits * scale;
    }

    protected override Tensor Input(long tokens, long columns) => randn(tokens, columns);

    protected override Tensor Multiply(Tensor x, BitLinear layer) => layer.call(x);

    // To force the kernel that is taken anyway would cost a search by name in each call, which users do not pay.
    private IDisposable? Force() =>
        KernelRegistry.GetKernelByName(kernel, config) == KernelRegistry.GetKernelForConfig(config)
            ? null
            : KernelRegistry.Use(kernel);
}
