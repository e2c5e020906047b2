using CsCheck;

namespace BitLab.Core.Tests;

/// <summary>Every kernel that this machine can run, on every config, against the formulas in double precision and against
/// the reference kernel bit for bit.</summary>
public class KernelContractTests
{
    public static TheoryData<string, BitQuantConfig> EveryKernelAndConfig()
    {
        var data = new TheoryData<string, BitQuantConfig>();
        foreach (string kernel in KernelRegistry.ListAvailableKernels())
        {
            foreach (BitQuantConfig config in BitQuantConfig.All)
                data.Add(kernel, config);
        }
        return data;
    }

    public static TheoryData<string> EveryKernel => [.. KernelRegistry.ListAvailableKernels()];

    [Theory, MemberData(nameof(EveryKernelAndConfig))]
    public void Odd_shapes_equal_the_formula(string kernel, BitQuantConfig config)
    {
        (int M, int K, int N)[] shapes =
            [(1, 1, 1), (3, 5, 3), (1, 17, 1), (8, 16, 32), (9, 33, 31), (4, 100, 65), (2, 64, 40), (17, 50, 7), (5, 257, 33)];
        foreach ((int m, int k, int n) in shapes)
            AssertFollowsTheFormula(kernel, config, m, k, n, seed: m + k + n, xMagnitude: 1, wMagnitude: 1);
    }

    [Theory, MemberData(nameof(EveryKernelAndConfig))]
    public void Huge_and_tiny_magnitudes_equal_the_formula(string kernel, BitQuantConfig config)
    {
        foreach (float x in new[] { 1e-12f, 1e-4f, 1e12f })
        {
            foreach (float w in new[] { 1e-7f, 1e6f })
                AssertFollowsTheFormula(kernel, config, 5, 40, 35, seed: 3, x, w);
        }
    }

    [Theory, MemberData(nameof(EveryKernelAndConfig))]
    public void All_zero_weights_and_activations_give_the_bias(string kernel, BitQuantConfig config)
    {
        float[] bias = [.. Enumerable.Range(0, 35).Select(i => i - 17f)];
        float[] some = RandomFloats(new Random(1), 35 * 50, 1);
        Assert.Equal(bias, Forward(kernel, config, new float[50], new float[35 * 50], bias, 50, 35));
        Assert.Equal(bias, Forward(kernel, config, new float[50], some, bias, 50, 35));
        Assert.Equal(bias, Forward(kernel, config, some[..50], new float[35 * 50], bias, 50, 35));
    }

    [Theory, MemberData(nameof(EveryKernelAndConfig))]
    public void Any_shape_gives_the_bits_of_the_reference(string kernel, BitQuantConfig config) =>
        Gen.Select(Gen.Int[1, 70], Gen.Int[1, 1100], Gen.Int[1, 300], Gen.Int, Gen.Bool)
            .Where((m, k, n, seed, hasBias) => m * k * n < 1_500_000) // The reference kernel is slow.
            .Sample(
            (m, k, n, seed, hasBias) =>
            {
                var random = new Random(seed);
                float[] x = RandomFloats(random, m * k, 3), w = RandomFloats(random, n * k, .1f);
                float[] bias = hasBias ? RandomFloats(random, n, 1) : [];
                Assert.Equal(
                    Forward("reference", config, x, w, bias, k, n),
                    Forward(kernel, config, x, w, bias, k, n));
            },
            iter: 20);

    [Theory, MemberData(nameof(EveryKernelAndConfig))]
    public void The_dense_form_gives_the_same_bits(string kernelName, BitQuantConfig config)
    {
        IBitKernel kernel = KernelRegistry.GetKernelByName(kernelName, config);
        Gen.Select(Gen.Int[1, 20], Gen.Int[1, 500], Gen.Int[1, 100], Gen.Int).Sample(
            (m, k, n, seed) =>
            {
                float[] x = RandomFloats(new Random(seed), m * k, 3), w = RandomFloats(new Random(seed + 1), n * k, .1f);
                float[] expected = new float[m * n], y = new float[m * n];
                using PackedTernaryWeights twoBit = PackedTernaryWeights.Pack(w, n, k, config.WeightGranularity);
                using PackedTernaryWeights dense = twoBit.Repack(WeightPacking.Dense);
                TernaryLinear.Forward(twoBit, config, x, [], expected, kernel);
                TernaryLinear.Forward(dense, config, x, [], y, kernel);
                Assert.Equal(expected, y);
            },
            iter: 15);
    }

    [Theory, MemberData(nameof(EveryKernel))]
    public void The_largest_sums_are_exact(string kernel)
    {
        // All weights +1 and all activations equal: 127 · K, where 16-bit sums would long have overflowed.
        foreach (int k in new[] { 4096, 70_000 })
        {
            float[] x = [.. Enumerable.Repeat(1f, k), .. Enumerable.Repeat(-1f, k)];
            float[] w = [.. Enumerable.Repeat(1f, k)];
            float[] y = Forward(kernel, BitQuantConfig.Default, x, w, [], k, 1);
            float scale = 1f * (1f / 127f);
            Assert.Equal([127f * k * scale, -127f * k * scale], y);
        }
    }

    [Theory, MemberData(nameof(EveryKernelAndConfig))]
    public void A_token_that_is_not_finite_gives_NaN_and_spares_the_others(string kernel, BitQuantConfig config)
    {
        foreach (float bad in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity })
        {
            float[] x = RandomFloats(new Random(1), 10 * 20, 1), w = RandomFloats(new Random(2), 33 * 20, 1);
            float[] clean = Forward(kernel, config, x, w, [], 20, 33);
            x[(3 * 20) + 7] = bad;
            float[] y = Forward(kernel, config, x, w, [], 20, 33);
            bool isShared = config is { ActivationDtype: ActivationDtype.Int8, ActivationGranularity: Granularity.PerTensor };
            for (int token = 0; token < 10; token++)
            {
                ReadOnlySpan<float> row = y.AsSpan(token * 33, 33);
                if (token == 3 && config.ActivationDtype == ActivationDtype.Float32)
                    Assert.All(row.ToArray(), value => Assert.False(float.IsFinite(value)));
                else if (token == 3 || isShared)
                    Assert.All(row.ToArray(), value => Assert.True(float.IsNaN(value)));
                else
                    Assert.Equal(clean.AsSpan(token * 33, 33).ToArray(), row.ToArray());
            }
        }
    }

    [Theory, MemberData(nameof(EveryKernelAndConfig))]
    public unsafe void Nothing_is_read_or_written_beyond_the_buffers(string kernelName, BitQuantConfig config)
    {
        IBitKernel kernel = KernelRegistry.GetKernelByName(kernelName, config);
        foreach ((int m, int k, int n) in new[] { (1, 16, 1), (1, 100, 33), (3, 40, 31), (8, 64, 32), (13, 48, 70) })
        {
            int padded = (k + 15) / 16 * 16;
            bool isInt8 = config.ActivationDtype == ActivationDtype.Int8;
            float[] w = RandomFloats(new Random(1), n * k, 1);
            using var packed = PackedTernaryWeights.Pack(w, n, k, config.WeightGranularity);
            using var data = new GuardedMemory(packed.PackedBytes, 64);
            using var scales = new GuardedMemory(packed.Scales.Length * sizeof(float), sizeof(float));
            using var tiles = new GuardedMemory((long)m * padded * (isInt8 ? 1 : sizeof(float)), sizeof(float));
            using var tokenScales = new GuardedMemory(m * sizeof(float), sizeof(float));
            using var tokenSums = new GuardedMemory(m * sizeof(int), sizeof(int));
            using var bias = new GuardedMemory(n * sizeof(float), sizeof(float));
            using var y = new GuardedMemory((long)m * n * sizeof(float), sizeof(float));
            new ReadOnlySpan<byte>(packed.RentedData, (int)packed.PackedBytes).CopyTo(new Span<byte>(data.Pointer, (int)packed.PackedBytes));
            packed.Scales.CopyTo(scales.Floats);
            bias.Floats.Fill(.5f);
            tokenScales.Floats.Fill(1);
            using PackedTernaryWeights guarded = PackedTernaryWeights.Over(new NativeBuffer(1, holdsWeights: false),
                data.Pointer, (float*)scales.Pointer, n, k, config.WeightGranularity, WeightPacking.TwoBit);
            var product = new TernaryProduct(
                m, guarded,
                isInt8 ? (sbyte*)tiles.Pointer : null,
                isInt8 ? null : (float*)tiles.Pointer,
                (float*)tokenScales.Pointer, (int*)tokenSums.Pointer, (float*)bias.Pointer, (float*)y.Pointer);
            kernel.Multiply(product, 0, (n + 31) / 32);
            Assert.All(y.Floats.ToArray(), value => Assert.Equal(.5f, value));
        }
    }

    [Theory, MemberData(nameof(EveryKernelAndConfig))]
    public unsafe void Panels_asked_for_apart_make_the_whole(string kernelName, BitQuantConfig config)
    {
        const int M = 9, K = 50, N = 100;
        IBitKernel kernel = KernelRegistry.GetKernelByName(kernelName, config);
        float[] x = RandomFloats(new Random(1), M * K, 1), w = RandomFloats(new Random(2), N * K, 1);
        float[] whole = Forward(kernelName, config, x, w, [], K, N);
        float[] parts = Forward(new PanelByPanel(kernel), config, x, w, [], K, N);
        Assert.Equal(whole, parts);
    }

    [Fact]
    public void Eight_threads_get_the_same_bits()
    {
        foreach (BitQuantConfig config in BitQuantConfig.All)
        {
            float[] x = RandomFloats(new Random(1), 5 * 300, 1), w = RandomFloats(new Random(2), 200 * 300, 1);
            using var packed = PackedTernaryWeights.Pack(w, 200, 300, config.WeightGranularity);
            float[] expected = new float[5 * 200];
            TernaryLinear.Forward(packed, config, x, [], expected);
            Parallel.For(0, 400, new ParallelOptions { MaxDegreeOfParallelism = 8 }, _ =>
            {
                float[] y = new float[5 * 200];
                TernaryLinear.Forward(packed, config, x, [], y);
                Assert.Equal(expected, y);
            });
        }
    }

    [Fact]
    public void Many_tokens_are_taken_in_groups_without_a_seam()
    {
        const int M = 700, K = 4096, N = 3;
        float[] x = RandomFloats(new Random(1), M * K, 1), w = RandomFloats(new Random(2), N * K, 1);
        foreach (BitQuantConfig config in BitQuantConfig.All)
        {
            using var packed = PackedTernaryWeights.Pack(w, N, K, config.WeightGranularity);
            float[] y = new float[M * N], first = new float[N], last = new float[N];
            TernaryLinear.Forward(packed, config, x, [], y);
            if (config is { ActivationDtype: ActivationDtype.Int8, ActivationGranularity: Granularity.PerTensor })
                continue;
            TernaryLinear.Forward(packed, config, x.AsSpan(0, K), [], first);
            TernaryLinear.Forward(packed, config, x.AsSpan((M - 1) * K), [], last);
            Assert.Equal(first, y[..N]);
            Assert.Equal(last, y[^N..]);
        }
    }

    internal static float[] RandomFloats(Random random, int count, float magnitude) =>
        [.. Enumerable.Range(0, count).Select(_ => (float)((random.NextDouble() * 2) - 1) * magnitude)];

    internal static float[] Forward(
        string kernel, BitQuantConfig config, float[] x, float[] w, float[] bias, int k, int n) =>
        Forward(KernelRegistry.GetKernelByName(kernel, config), config, x, w, bias, k, n);

    private static float[] Forward(
        IBitKernel kernel, BitQuantConfig config, float[] x, float[] w, float[] bias, int k, int n)
    {
        using var packed = PackedTernaryWeights.Pack(w, n, k, config.WeightGranularity);
        float[] y = new float[x.Length / k * n];
        TernaryLinear.Forward(packed, config, x, bias, y, kernel);
        return y;
    }

    // In double precision from the formulas of the paper, with nothing of BitLab in it.
    private static void AssertFollowsTheFormula(
        string kernel, BitQuantConfig config, int m, int k, int n, int seed, float xMagnitude, float wMagnitude)
    {
        var random = new Random(seed);
        float[] x = RandomFloats(random, m * k, xMagnitude), w = RandomFloats(random, n * k, wMagnitude);
        float[] bias = RandomFloats(random, n, xMagnitude * wMagnitude);
        float[] y = Forward(kernel, config, x, w, bias, k, n);

        float tensorGamma = Gamma(w), tensorRange = Range(x);
        for (int i = 0; i < m; i++)
        {
            ReadOnlySpan<float> token = x.AsSpan(i * k, k);
            float range = config.ActivationGranularity == Granularity.PerTensor ? tensorRange : Range(token);
            double largest = 0, worst = 0;
            for (int j = 0; j < n; j++)
            {
                ReadOnlySpan<float> row = w.AsSpan(j * k, k);
                float gamma = config.WeightGranularity == Granularity.PerTensor ? tensorGamma : Gamma(row);
                double sum = 0;
                for (int p = 0; p < k; p++)
                {
                    double trit = Math.Clamp(MathF.Round(row[p] * (1f / gamma)), -1, 1);
                    double value = config.ActivationDtype == ActivationDtype.Float32
                        ? token[p]
                        : Math.Clamp(MathF.Round(token[p] * (127f / range)), -128, 127) * ((double)range / 127);
                    sum += trit * value;
                }
                double expected = (sum * gamma) + bias[j];
                largest = Math.Max(largest, Math.Abs(expected));
                worst = Math.Max(worst, Math.Abs(expected - y[(i * n) + j]));
            }
            // float32 rounds each of at most 257 additions by 6e-8 of sums that stay below some times the largest output.
            Assert.True(worst <= 1e-5 * largest, $"{kernel} {config} ({m}, {k}, {n}): off by {worst} of {largest}");
        }

        static float Gamma(ReadOnlySpan<float> w)
        {
            double sum = 0;
            foreach (float value in w)
                sum += Math.Abs(value);
            return Math.Max((float)(sum / w.Length), 1e-5f);
        }

        static float Range(ReadOnlySpan<float> x)
        {
            float largest = 1e-5f;
            foreach (float value in x)
                largest = Math.Max(largest, Math.Abs(value));
            return largest;
        }
    }

    private sealed class PanelByPanel(IBitKernel kernel) : IBitKernel
    {
        public string Name => "panel by panel";

        public string Isa => kernel.Isa;

        public bool HasNativeBackend => kernel.HasNativeBackend;

        public bool IsSupported => true;

        public bool Serves(BitQuantConfig config) => true;

        public void Multiply(in TernaryProduct product, int firstPanel, int endPanel)
        {
            for (int panel = endPanel - 1; panel >= firstPanel; panel--)
                kernel.Multiply(product, panel, panel + 1);
        }
    }
}
