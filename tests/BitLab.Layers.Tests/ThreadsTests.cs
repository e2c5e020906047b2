using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers.Tests;

/// <summary>BitLab on LibTorch's threads. The only tests of this assembly that set numbers of threads.</summary>
public sealed class ThreadsTests : IDisposable
{
    private readonly int before = get_num_threads();

    public void Dispose() => set_num_threads(before);

    [Fact]
    public void The_number_of_threads_follows_torch_until_one_is_chosen()
    {
        using Tensor first = new BitLinear(8, 8).call(zeros(1, 8));
        set_num_threads(3);
        Assert.Equal(3, BitLabRuntime.NumThreads);
        set_num_threads(1);
        Assert.Equal(1, BitLabRuntime.NumThreads);
        try
        {
            BitLabRuntime.NumThreads = 2;
            set_num_threads(4);
            Assert.Equal(2, BitLabRuntime.NumThreads);
        }
        finally
        {
            BitLabRuntime.NumThreads = 0;
        }
        Assert.Equal(4, BitLabRuntime.NumThreads);
    }

    [Fact]
    public void LibTorchs_own_team_is_borrowed_on_Linux()
    {
        using Tensor first = new BitLinear(8, 8).call(zeros(1, 8));
        Assert.Contains(
            OperatingSystem.IsLinux() ? "of LibTorch's OpenMP team" : "Threads:", BitLabRuntime.Describe(), StringComparison.Ordinal);
    }

    [Fact]
    public void The_bits_are_the_same_for_any_number_and_any_caller()
    {
        using IDisposable noGradients = no_grad();
        using var layer = new BitLinear(1200, 1300);
        layer.Deploy();
        using Tensor x = randn(9, 1200);
        set_num_threads(1);
        using Tensor expected = layer.call(x);
        foreach (int threads in new[] { 2, 3, 5 })
        {
            set_num_threads(threads);
            Parallel.For(0, 6, _ =>
            {
                using IDisposable alsoHere = no_grad();
                for (int i = 0; i < 20; i++)
                {
                    using Tensor y = layer.call(x);
                    Assert.True(y.Equals(expected));
                }
            });
        }
    }

    [Fact]
    public void A_kernel_that_throws_on_a_thread_of_torchs_throws_at_the_caller()
    {
        using IDisposable noGradients = no_grad();
        using var layer = new BitLinear(1200, 1300);
        layer.Deploy();
        set_num_threads(4);
        // Last in the list, so that no other test gets it.
        using IDisposable registered = KernelRegistry.Register(new FailingBeyondTheFirstPart(), priority: -1);
        using IDisposable used = KernelRegistry.Use("failing beyond the first part");
        Assert.Throws<InvalidOperationException>(() => layer.call(zeros(9, 1200)));
    }

    private sealed class FailingBeyondTheFirstPart : IBitKernel
    {
        public string Name => "failing beyond the first part";

        public string Isa => "none";

        public bool HasNativeBackend => false;

        public bool IsSupported => true;

        public bool Serves(BitQuantConfig config) => true;

        public void Multiply(in TernaryProduct product, int firstPanel, int endPanel)
        {
            if (endPanel == PanelLayout.Panels(product.Outputs))
                throw new InvalidOperationException("no");
        }
    }
}
