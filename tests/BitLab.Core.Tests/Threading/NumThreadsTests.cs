using CsCheck;

namespace BitLab.Core.Tests;

/// <summary>The only tests of this assembly that set the number of threads, so they see each other's only.</summary>
public sealed class NumThreadsTests : IDisposable
{
    public void Dispose() => BitLabRuntime.NumThreads = 0;

    [Fact]
    public void It_is_what_was_set_and_zero_goes_back()
    {
        int before = BitLabRuntime.NumThreads;
        Assert.InRange(before, 1, 1024);
        BitLabRuntime.NumThreads = 3;
        Assert.Equal(3, BitLabRuntime.NumThreads);
        Assert.Contains("Threads: 3", BitLabRuntime.Describe(), StringComparison.Ordinal);
        BitLabRuntime.NumThreads = 0;
        Assert.Equal(before, BitLabRuntime.NumThreads);
    }

    [Theory, InlineData(-1), InlineData(1025), InlineData(int.MinValue)]
    public void Senseless_numbers_are_refused(int threads)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => BitLabRuntime.NumThreads = threads);
    }

    [Theory, InlineData(null, 0), InlineData(" ", 0), InlineData("4", 4), InlineData(" 1024 ", 1024)]
    public void The_environment_is_read(string? text, int threads) => Assert.Equal(threads, ThreadTeam.Parse(text));

    [Theory, InlineData("0"), InlineData("-2"), InlineData("two"), InlineData("1025"), InlineData("1.5")]
    public void A_senseless_environment_is_named(string text)
    {
        BitLabException error = Assert.Throws<BitLabException>(() => ThreadTeam.Parse(text));
        Assert.Contains($"BITLAB_NUM_THREADS is '{text}'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public unsafe void Fake_quantized_values_have_the_same_bits_for_any_number() =>
        Gen.Select(Gen.Int[1, 40], Gen.Int[1, 9000], Gen.Int, Gen.Int[2, 5], Gen.Int[0, BitQuantConfig.All.Count - 1]).Sample(
            (rows, columns, seed, threads, which) =>
            {
                var random = new Random(seed);
                float[] x = new float[rows * columns], one = new float[x.Length], many = new float[x.Length];
                for (int i = 0; i < x.Length; i++)
                    x[i] = (float)(random.NextDouble() - 0.5);
                BitQuantConfig config = BitQuantConfig.All[which];
                fixed (float* xp = x, onep = one, manyp = many)
                {
                    BitLabRuntime.NumThreads = 1;
                    FakeQuantization.Weights(xp, rows, columns, config, 1, onep, null);
                    BitLabRuntime.NumThreads = threads;
                    FakeQuantization.Weights(xp, rows, columns, config, 1, manyp, null);
                    Assert.Equal(one, many);
                    using var packed = PackedTernaryWeights.Pack(x, rows, columns, config.WeightGranularity);
                    packed.Unpack(one);
                    Assert.Equal(one, many);

                    FakeQuantization.Activations(xp, rows, columns, config.ActivationGranularity, 0.3f, manyp);
                    BitLabRuntime.NumThreads = 1;
                    FakeQuantization.Activations(xp, rows, columns, config.ActivationGranularity, 0.3f, onep);
                    Assert.Equal(one, many);
                }
            },
            iter: 60,
            threads: 1);

    [Theory, MemberData(nameof(KernelContractTests.EveryKernel), MemberType = typeof(KernelContractTests))]
    public void The_bits_are_the_same_for_any_number(string kernel)
    {
        // Large enough for several threads; the reference kernel is slow.
        int most = kernel is "reference" or "scalar" ? 1100 : 1500;
        Gen.Select(Gen.Int[1, 20], Gen.Int[900, most], Gen.Int[300, most], Gen.Int, Gen.Int[2, 5], Gen.Int[0, BitQuantConfig.All.Count - 1]).Sample(
            (m, k, n, seed, threads, which) =>
            {
                BitQuantConfig config = BitQuantConfig.All[which];
                var random = new Random(seed);
                float[] x = KernelContractTests.RandomFloats(random, m * k, 3), w = KernelContractTests.RandomFloats(random, n * k, .1f);
                float[] bias = KernelContractTests.RandomFloats(random, n, 1);
                BitLabRuntime.NumThreads = 1;
                float[] expected = KernelContractTests.Forward(kernel, config, x, w, bias, k, n);
                BitLabRuntime.NumThreads = threads;
                Assert.Equal(expected, KernelContractTests.Forward(kernel, config, x, w, bias, k, n));
            },
            iter: 4,
            threads: 1);
    }

    [Fact]
    public void Several_callers_at_once_get_their_own_results()
    {
        BitLabRuntime.NumThreads = 3;
        var random = new Random(1);
        const int K = 1024, N = 1040;
        float[] w = KernelContractTests.RandomFloats(random, N * K, .1f);
        using PackedTernaryWeights packed = PackedTernaryWeights.Pack(w, N, K, Granularity.PerTensor);
        Parallel.For(0, 8, new ParallelOptions { MaxDegreeOfParallelism = 8 }, caller =>
        {
            float[] x = KernelContractTests.RandomFloats(new Random(caller), 5 * K, 1), expected = new float[5 * N], y = new float[5 * N];
            TernaryLinear.Forward(packed, BitQuantConfig.Default, x, [], expected, KernelRegistry.GetKernelByName("managed128", BitQuantConfig.Default));
            for (int round = 0; round < 100; round++)
            {
                Array.Clear(y);
                TernaryLinear.Forward(packed, BitQuantConfig.Default, x, [], y);
                Assert.Equal(expected, y);
            }
        });
    }

    [Fact]
    public void A_kernel_that_throws_in_a_part_throws_at_the_caller()
    {
        BitLabRuntime.NumThreads = 4;
        using PackedTernaryWeights packed = PackedTernaryWeights.Pack(new float[2048 * 2048], 2048, 2048, Granularity.PerTensor);
        InvalidOperationException error = Assert.Throws<InvalidOperationException>(() => TernaryLinear.Forward(
            packed, BitQuantConfig.Default, new float[2048], [], new float[2048], new FailingKernel()));
        Assert.Equal("no", error.Message);
    }

    private sealed class FailingKernel : IBitKernel
    {
        public string Name => "failing";

        public string Isa => "none";

        public bool HasNativeBackend => false;

        public bool IsSupported => true;

        public bool Serves(BitQuantConfig config) => true;

        public void Multiply(in TernaryProduct product, int firstPanel, int endPanel) =>
            throw new InvalidOperationException("no");
    }
}
