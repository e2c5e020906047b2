using System.Runtime.CompilerServices;

namespace BitLab.Core;

/// <summary>The linear operator y = x · Wᵀ + b over packed ternary weights.</summary>
/// <remarks>x: (M, K), W: (N, K), b: (N), y: (M, N), float32, row by row. It allocates nothing that the garbage collector
/// sees; scratch memory is kept for each calling thread, at most a few MB. Large products are divided over
/// <see cref="BitLabRuntime.NumThreads"/> threads; the result has the same bits for any number.</remarks>
public static unsafe class TernaryLinear
{
    // Tokens are taken in groups, so that their tiles stay in the second-level cache and the scratch memory stays small.
    private const int ScratchTarget = 1 << 20;

    // Below this, starting a thread takes longer than it saves.
    private const int MultiplicationsPerThread = 1 << 19;

    [ThreadStatic]
    private static NativeBuffer? scratch;

    /// <summary>Multiplies.</summary>
    /// <param name="weights">W, (N, K).</param>
    /// <param name="config">How the activations are taken; its weight granularity must be that of the weights.</param>
    /// <param name="x">(M, K). NaN or infinity makes the outputs of its token NaN, or of all tokens where the tensor has
    /// one scale.</param>
    /// <param name="bias">(N), or empty.</param>
    /// <param name="y">(M, N), overwritten.</param>
    /// <param name="kernel">Which kernel, or null for the registry's choice.</param>
    /// <exception cref="ArgumentException">A length does not fit, or the granularities differ.</exception>
    /// <exception cref="KernelNotFoundException">The registry has no kernel for the config.</exception>
    /// <exception cref="ObjectDisposedException">The weights are disposed.</exception>
    public static void Forward(
        PackedTernaryWeights weights,
        BitQuantConfig config,
        ReadOnlySpan<float> x,
        ReadOnlySpan<float> bias,
        Span<float> y,
        IBitKernel? kernel = null)
    {
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentNullException.ThrowIfNull(config);
        int tokens = x.Length / weights.Columns;
        if (x.Length != (long)tokens * weights.Columns)
            throw new ArgumentException($"Expected rows of {weights.Columns} activations, got {x.Length}.", nameof(x));
        if (!bias.IsEmpty && bias.Length != weights.Rows)
            throw new ArgumentException($"Expected {weights.Rows} biases or none, got {bias.Length}.", nameof(bias));
        if (y.Length != (long)tokens * weights.Rows)
            throw new ArgumentException($"Expected ({tokens}, {weights.Rows}) outputs, got {y.Length}.", nameof(y));
        if (config.WeightGranularity != weights.Granularity)
        {
            throw new ArgumentException(
                $"The config says weights {config.WeightGranularity}, but they are packed {weights.Granularity}.", nameof(config));
        }
        kernel ??= KernelRegistry.GetKernelForConfig(config);
        using PackedTernaryWeights.Lease lease = weights.Rent();
        fixed (float* xp = x, biasp = bias, yp = y)
            Forward(weights, config, kernel, xp, tokens, biasp, yp);
    }

    /// <summary>The same on pointers, without the checks. The weights are rented.</summary>
    internal static void Forward(
        PackedTernaryWeights weights, BitQuantConfig config, IBitKernel kernel, float* x, int tokens, float* bias, float* y)
    {
        int columns = weights.Columns;
        bool isInt8 = config.ActivationDtype == ActivationDtype.Int8;
        float? tensorRange = isInt8 && config.ActivationGranularity == Granularity.PerTensor
            ? RangeOf(x, (long)tokens * columns)
            : null;
        int group = GroupOf(PanelLayout.PaddedColumns(columns) * (isInt8 ? 1 : sizeof(float)));
        for (int first = 0; first < tokens; first += group)
        {
            int count = Math.Min(group, tokens - first);
            float* groupX = x + ((long)first * columns);
            float* groupY = y + ((long)first * weights.Rows);
            if (isInt8)
                Int8(weights, kernel, groupX, count, tensorRange, bias, groupY);
            else
                Float32(weights, kernel, groupX, count, bias, groupY);
        }
    }

    private static void Int8(
        PackedTernaryWeights weights, IBitKernel kernel, float* x, int tokens, float? tensorRange, float* bias, float* y)
    {
        int padded = PanelLayout.PaddedColumns(weights.Columns);
        int parts = ActivationTiles.Parts(tokens, padded);
        byte* memory = Scratch(((long)(tokens + parts) * padded) + ((long)tokens * (sizeof(float) + sizeof(int))));
        sbyte* tiles = (sbyte*)memory;
        sbyte* rows = tiles + ((long)tokens * padded);
        float* scales = (float*)(rows + ((long)parts * padded));
        int* sums = (int*)(scales + tokens);
        var quantize = new QuantizeJob(x, tokens, weights.Columns, tensorRange, rows, tiles, scales, sums);
        ThreadTeam.Run(ref quantize, parts);
        Multiply(kernel, new TernaryProduct(tokens, weights, tiles, null, scales, sums, bias, y));
    }

    private static void Float32(PackedTernaryWeights weights, IBitKernel kernel, float* x, int tokens, float* bias, float* y)
    {
        int padded = PanelLayout.PaddedColumns(weights.Columns);
        float* tiles = (float*)Scratch((long)tokens * padded * sizeof(float));
        var arrange = new ArrangeJob(x, tokens, weights.Columns, tiles);
        ThreadTeam.Run(ref arrange, ActivationTiles.Parts(tokens, padded));
        Multiply(kernel, new TernaryProduct(tokens, weights, null, tiles, null, null, bias, y));
    }

    private static void Multiply(IBitKernel kernel, in TernaryProduct product)
    {
        var multiply = new MultiplyJob(kernel, product);
        int panels = PanelLayout.Panels(product.Outputs);
        long multiplications = (long)product.Tokens * product.Outputs * product.PaddedColumns;
        ThreadTeam.Run(ref multiply, (int)Math.Min(panels, multiplications / MultiplicationsPerThread));
    }

    private static int GroupOf(int bytesPerToken)
    {
        const int Tile = TernaryProduct.TileTokens;
        return Math.Max(1, ScratchTarget / (bytesPerToken * Tile)) * Tile;
    }

    private static float RangeOf(float* x, long count)
    {
        float range = Absmax.Epsilon;
        for (long at = 0; at < count; at += 1 << 30)
        {
            // Once NaN, the maximum stays NaN.
            range = MathF.Max(range, Absmax.Range(new ReadOnlySpan<float>(x + at, (int)Math.Min(1 << 30, count - at))));
        }
        return range;
    }

    private static byte* Scratch(long byteCount)
    {
        if (scratch is null || scratch.ByteCount < byteCount)
            Grow(byteCount);
        return scratch!.Pointer;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Grow(long byteCount)
    {
        scratch?.Dispose();
        scratch = new NativeBuffer(byteCount, holdsWeights: false);
    }

    private readonly struct MultiplyJob(IBitKernel kernel, TernaryProduct product) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int panels = PanelLayout.Panels(product.Outputs);
            kernel.Multiply(
                product, IParallelJob.FirstOf(part, parts, panels), IParallelJob.FirstOf(part + 1, parts, panels));
        }
    }

    private readonly struct QuantizeJob(
        float* x, int tokens, int columns, float? tensorRange, sbyte* rows, sbyte* tiles, float* scales, int* sums) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int count = ActivationTiles.Count(tokens);
            sbyte* row = rows + ((long)part * PanelLayout.PaddedColumns(columns));
            ActivationTiles.FillInt8(
                x, tokens, columns, tensorRange,
                IParallelJob.FirstOf(part, parts, count), IParallelJob.FirstOf(part + 1, parts, count),
                row, tiles, scales, sums);
        }
    }

    private readonly struct ArrangeJob(float* x, int tokens, int columns, float* tiles) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int count = ActivationTiles.Count(tokens);
            ActivationTiles.FillFloat32(
                x, tokens, columns, IParallelJob.FirstOf(part, parts, count), IParallelJob.FirstOf(part + 1, parts, count), tiles);
        }
    }
}
