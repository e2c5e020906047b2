using BenchmarkDotNet.Attributes;
using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Benchmarks;

/// <summary>A forward of a deployed BitLinear by each kernel, beside nn.Linear in float32: M tokens, Size × Size
/// weights.</summary>
public class LinearBenchmarks
{
    private nn.Module<Tensor, Tensor> linear = null!;
    private BitLinear layer = null!;
    private Tensor x = null!;
    private IDisposable noGradients = null!;

    [Params(1, 32, 512)]
    public int M { get; set; }

    [Params(4096)]
    public int Size { get; set; }

    [ParamsSource(nameof(Kernels))]
    public string Kernel { get; set; } = "";

    public static IEnumerable<string> Kernels =>
        KernelRegistry.ListAvailableKernels().Where(name => name is not ("scalar" or "reference"));

    [GlobalSetup]
    public void Setup()
    {
        set_num_threads(1);
        noGradients = no_grad();
        linear = nn.Linear(Size, Size);
        layer = new BitLinear(Size, Size);
        layer.Deploy();
        x = randn(M, Size);
    }

    [Benchmark(Baseline = true)]
    public void Float32Linear() => linear.call(x).Dispose();

    [Benchmark]
    public void BitLinear()
    {
        using IDisposable scope = KernelRegistry.Use(Kernel);
        layer.call(x).Dispose();
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        noGradients.Dispose();
        x.Dispose();
        layer.Dispose();
        linear.Dispose();
    }
}
