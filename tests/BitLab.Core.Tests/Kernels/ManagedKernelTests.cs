using System.Runtime.InteropServices;

namespace BitLab.Core.Tests;

/// <summary>What is particular to the managed kernels: partial sums of 16 bits, chunks of steps, groups of tokens, and lanes
/// with a dot product. Activations are given as int8, so that -128 occurs too.</summary>
public unsafe class ManagedKernelTests
{
    private static readonly IBitKernel[] Kernels =
    [
        new ManagedKernel<Lanes512>(),
        new ManagedKernel<Lanes256>(),
        new ManagedKernel<Lanes256Vnni>(),
        new ManagedKernel<Lanes128>(),
        new ManagedKernel<LanesWithDotProduct>(),
    ];

    public static TheoryData<string> EveryKernel =>
        [.. Kernels.Where(kernel => kernel.IsSupported).Select(kernel => kernel.Name)];

    [Theory, MemberData(nameof(EveryKernel))]
    public void Extreme_sums_are_exact_at_every_number_of_columns(string kernel)
    {
        // A chunk has 8 steps of 16 columns for one token, and 16 for several.
        int[] columns = [16, 112, 128, 129, 144, 240, 256, 257, 272, 496, 512, 513, 1 << 15];
        foreach (int k in columns)
        {
            foreach (int tokens in new[] { 1, 2, 9, 17 })
            {
                foreach (sbyte trit in new sbyte[] { -1, 1 })
                {
                    sbyte[] trits = new sbyte[k];
                    trits.AsSpan().Fill(trit);
                    foreach (sbyte value in new sbyte[] { -128, 127 })
                    {
                        float[] y = MultiplyInt8(kernel, (_, _) => value, trits, tokens, k, outputs: 1);
                        Assert.All(y, sum => Assert.Equal(trit * value * k, sum));
                    }
                }
            }
        }
    }

    [Theory, MemberData(nameof(EveryKernel))]
    public void Every_number_of_tokens_gives_the_bits_of_the_reference(string kernel)
    {
        // Tiles have 8 tokens, groups 64; 300 columns are chunks of 16 steps and of 4 steps with a rest each.
        const int K = 300, Outputs = 70;
        var random = new Random(1);
        sbyte[] trits = [.. Enumerable.Range(0, Outputs * K).Select(_ => (sbyte)random.Next(-1, 2))];
        sbyte[] values = [.. Enumerable.Range(0, 140 * K).Select(_ => (sbyte)random.Next(-128, 128))];
        foreach (int tokens in Enumerable.Range(1, 33).Concat([63, 64, 65, 72, 80, 81, 140]))
        {
            Assert.Equal(
                MultiplyInt8("reference", (token, column) => values[(token * K) + column], trits, tokens, K, Outputs),
                MultiplyInt8(kernel, (token, column) => values[(token * K) + column], trits, tokens, K, Outputs));
            Assert.Equal(
                MultiplyFloat32("reference", values, trits, tokens, K, Outputs),
                MultiplyFloat32(kernel, values, trits, tokens, K, Outputs));
        }
    }

    [Theory, MemberData(nameof(EveryKernel))]
    public void Any_range_of_panels_is_multiplied_alone(string kernel)
    {
        const int K = 40, Outputs = 150;
        var random = new Random(2);
        sbyte[] trits = [.. Enumerable.Range(0, Outputs * K).Select(_ => (sbyte)random.Next(-1, 2))];
        sbyte[] values = [.. Enumerable.Range(0, K).Select(_ => (sbyte)random.Next(-128, 128))];
        float[] whole = MultiplyFloat32("reference", values, trits, 1, K, Outputs);
        for (int first = 0; first < 5; first++)
        {
            for (int end = first; end <= 5; end++)
            {
                float[] y = MultiplyFloat32(kernel, values, trits, 1, K, Outputs, first, end);
                for (int j = 0; j < Outputs; j++)
                    Assert.Equal(j / 32 >= first && j / 32 < end ? whole[j] : 0f, y[j]);
            }
        }
    }

    private static float[] MultiplyInt8(
        string kernel, Func<int, int, sbyte> valueAt, sbyte[] trits, int tokens, int k, int outputs)
    {
        int padded = PanelLayout.PaddedColumns(k, WeightPacking.TwoBit);
        sbyte[] tiles = new sbyte[tokens * padded];
        int[] sums = new int[tokens];
        for (int token = 0; token < tokens; token++)
        {
            int first = token / 8 * 8, stride = Math.Min(8, tokens - first);
            for (int column = 0; column < k; column++)
            {
                sbyte value = valueAt(token, column);
                tiles[(first * padded) + (((column / 4 * stride) + token - first) * 4) + (column % 4)] = value;
                sums[token] += value;
            }
        }
        float[] scales = [.. Enumerable.Repeat(1f, tokens)], y = new float[tokens * outputs];
        using var weights = PackedTernaryWeights.FromTrits(trits, [1f], outputs, k, Granularity.PerTensor);
        using PackedTernaryWeights.Lease lease = weights.Rent();
        fixed (sbyte* x = tiles)
        fixed (float* scalesAt = scales, yAt = y)
        fixed (int* sumsAt = sums)
        {
            var product = new TernaryProduct(tokens, weights, x, null, scalesAt, sumsAt, null, yAt);
            Find(kernel).Multiply(product, 0, PanelLayout.Panels(outputs));
        }
        return y;
    }

    private static float[] MultiplyFloat32(
        string kernel, sbyte[] values, sbyte[] trits, int tokens, int k, int outputs, int firstPanel = 0, int? endPanel = null)
    {
        int padded = PanelLayout.PaddedColumns(k, WeightPacking.TwoBit);
        float[] tiles = new float[tokens * padded], y = new float[tokens * outputs];
        for (int token = 0; token < tokens; token++)
        {
            int first = token / 8 * 8, stride = Math.Min(8, tokens - first);
            for (int column = 0; column < k; column++)
                tiles[(first * padded) + (column * stride) + token - first] = values[(token * k) + column] / 3f;
        }
        using var weights = PackedTernaryWeights.FromTrits(trits, [.7f], outputs, k, Granularity.PerTensor);
        using PackedTernaryWeights.Lease lease = weights.Rent();
        fixed (float* x = tiles, yAt = y)
        {
            var product = new TernaryProduct(tokens, weights, null, x, null, null, null, yAt);
            Find(kernel).Multiply(product, firstPanel, endPanel ?? PanelLayout.Panels(outputs));
        }
        return y;
    }

    private static IBitKernel Find(string kernel) =>
        Kernels.FirstOrDefault(known => known.Name == kernel) ?? KernelRegistry.GetKernelByName(kernel, BitQuantConfig.Default);

    /// <summary>Lanes as of a processor that adds four products to a 32-bit lane at once, for machines that cannot.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly struct LanesWithDotProduct(Lanes128 lanes) : ILanes<LanesWithDotProduct>
    {
        private readonly Lanes128 lanes = lanes;

        public static bool IsSupported => true;

        public static string Name => "dotproduct";

        public static string Isa => "scalar C#";

        public static int Rows => 4;

        public static int MaxTokens => 8;

        public static bool HasDotProduct => true;

        public static LanesWithDotProduct Zero => default;

        public static LanesWithDotProduct Load(byte* source) => new(Lanes128.Load(source));

        public static void Prefetch(byte* step) => Lanes128.Prefetch(step);

        public static LanesWithDotProduct And(LanesWithDotProduct left, LanesWithDotProduct right) =>
            new(Lanes128.And(left.lanes, right.lanes));

        public static LanesWithDotProduct ShiftRight(LanesWithDotProduct words, int count) =>
            new(Lanes128.ShiftRight(words.lanes, count));

        public static LanesWithDotProduct Broadcast(int value) => new(Lanes128.Broadcast(value));

        public static LanesWithDotProduct Broadcast(float value) => new(Lanes128.Broadcast(value));

        public static LanesWithDotProduct AddProducts(
            LanesWithDotProduct partial, LanesWithDotProduct codes, LanesWithDotProduct activations)
        {
            int* sums = (int*)&partial;
            for (int i = 0; i < 16; i++)
                sums[i / 4] += ((byte*)&codes)[i] * ((sbyte*)&activations)[i];
            return partial;
        }

        public static LanesWithDotProduct Products(LanesWithDotProduct codes, LanesWithDotProduct activations) =>
            AddProducts(Zero, codes, activations);

        public static LanesWithDotProduct Add(LanesWithDotProduct partial, LanesWithDotProduct products)
        {
            for (int i = 0; i < 4; i++)
                ((int*)&partial)[i] += ((int*)&products)[i];
            return partial;
        }

        public static LanesWithDotProduct AddPartial(LanesWithDotProduct sums, LanesWithDotProduct partial) => Add(sums, partial);

        public static LanesWithDotProduct AddQuarter(LanesWithDotProduct partial, LanesWithDotProduct fourfold)
        {
            for (int i = 0; i < 4; i++)
                ((int*)&partial)[i] += ((int*)&fourfold)[i] / 4;
            return partial;
        }

        public static LanesWithDotProduct Trits(LanesWithDotProduct words) => new(Lanes128.Trits(words.lanes));

        public static LanesWithDotProduct AddFloats(
            LanesWithDotProduct sums, LanesWithDotProduct trits, LanesWithDotProduct activation) =>
            new(Lanes128.AddFloats(sums.lanes, trits.lanes, activation.lanes));

        public static LanesWithDotProduct ScaleInts(
            LanesWithDotProduct sums,
            int tokenSum,
            LanesWithDotProduct weightScales,
            float tokenScale,
            LanesWithDotProduct bias) =>
            new(Lanes128.ScaleInts(sums.lanes, tokenSum, weightScales.lanes, tokenScale, bias.lanes));

        public static LanesWithDotProduct ScaleFloats(
            LanesWithDotProduct sums, LanesWithDotProduct weightScales, LanesWithDotProduct bias) =>
            new(Lanes128.ScaleFloats(sums.lanes, weightScales.lanes, bias.lanes));

        public static void Store(LanesWithDotProduct value, float* target) => Lanes128.Store(value.lanes, target);
    }
}
