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
    internal const int MultiplicationsPerThread = 1 << 19;

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
        int columns = weights.Columns, padded = PanelLayout.PaddedColumns(columns, weights.Packing);
        bool isInt8 = config.ActivationDtype == ActivationDtype.Int8;
        float? tensorRange = isInt8 && config.ActivationGranularity == Granularity.PerTensor
            ? RangeOf(x, (long)tokens * columns)
            : null;
        bool expands = !kernel.Reads(weights.Packing, config);
        int group = GroupOf(padded * (isInt8 ? 1 : sizeof(float)));
        for (int first = 0; first < tokens; first += group)
        {
            int count = Math.Min(group, tokens - first);
            float* groupX = x + ((long)first * columns);
            float* groupY = y + ((long)first * weights.Rows);
            if (isInt8)
                Int8(weights, kernel, expands, groupX, count, tensorRange, bias, groupY);
            else
                Float32(weights, kernel, expands, groupX, count, bias, groupY);
        }
    }

    private static void Int8(
        PackedTernaryWeights weights, IBitKernel kernel, bool expands, float* x, int tokens, float? tensorRange, float* bias, float* y)
    {
        int padded = PanelLayout.PaddedColumns(weights.Columns, weights.Packing);
        int multiplyParts = MultiplyParts(weights, tokens);
        long panelBytes = expands ? PanelLayout.PanelBytes(padded, WeightPacking.TwoBit) : 0;
        Quantized quantized = Quantize(x, tokens, weights.Columns, padded, tensorRange, multiplyParts * panelBytes);
        Multiply(
            kernel,
            new TernaryProduct(tokens, weights, quantized.Tiles, null, quantized.Scales, quantized.Sums, bias, y),
            expands ? quantized.Room : null,
            multiplyParts);
    }

    /// <summary>Int8 tiles of some tokens in this thread's scratch memory.</summary>
    internal static Quantized Quantize(float* x, int tokens, int columns, int padded, float? tensorRange, long roomBytes)
    {
        int parts = ActivationTiles.Parts(tokens, padded), rowsScratch = parts * ActivationTiles.TogetherTokens;
        byte* room = Scratch(
            roomBytes + ((long)(tokens + rowsScratch) * padded) + ((long)tokens * (sizeof(float) + sizeof(int))));
        sbyte* tiles = (sbyte*)(room + roomBytes);
        sbyte* rows = tiles + ((long)tokens * padded);
        float* scales = (float*)(rows + ((long)rowsScratch * padded));
        int* sums = (int*)(scales + tokens);
        var quantize = new QuantizeJob(x, tokens, columns, padded, tensorRange, rows, tiles, scales, sums);
        ThreadTeam.Run(ref quantize, parts);
        return new Quantized(room, tiles, scales, sums);
    }

    private static void Float32(
        PackedTernaryWeights weights, IBitKernel kernel, bool expands, float* x, int tokens, float* bias, float* y)
    {
        int columns = weights.Columns, padded = PanelLayout.PaddedColumns(columns, weights.Packing);
        int multiplyParts = MultiplyParts(weights, tokens);
        long panelBytes = expands ? PanelLayout.PanelBytes(padded, WeightPacking.TwoBit) : 0;
        byte* panels = Scratch((multiplyParts * panelBytes) + ((long)tokens * padded * sizeof(float)));
        float* tiles = (float*)(panels + (multiplyParts * panelBytes));
        var arrange = new ArrangeJob(x, tokens, columns, padded, tiles);
        ThreadTeam.Run(ref arrange, ActivationTiles.Parts(tokens, padded));
        Multiply(kernel, new TernaryProduct(tokens, weights, null, tiles, null, null, bias, y), expands ? panels : null, multiplyParts);
    }

    /// <summary>Multiplies in at most so many parts.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="product">What to multiply.</param>
    /// <param name="expanded">Where the kernel does not read the weights as they are held, room for a panel of each
    /// part; else null.</param>
    /// <param name="maxParts">Into how many parts it is worth cutting.</param>
    internal static void Multiply(IBitKernel kernel, in TernaryProduct product, byte* expanded, int maxParts)
    {
        if (expanded == null)
        {
            var multiply = new MultiplyJob(kernel, product);
            ThreadTeam.Run(ref multiply, maxParts);
        }
        else
        {
            var multiply = new ExpandJob(kernel, product, expanded);
            ThreadTeam.Run(ref multiply, maxParts);
        }
    }

    private static int MultiplyParts(PackedTernaryWeights weights, int tokens)
    {
        long multiplications = (long)tokens * weights.Rows * weights.Columns;
        long most = Math.Min(PanelLayout.Panels(weights.Rows), ThreadTeam.NumThreads);
        return (int)Math.Clamp(multiplications / MultiplicationsPerThread, 1, most);
    }

    /// <summary>How many tokens are taken at once.</summary>
    internal static int GroupOf(int bytesPerToken)
    {
        const int Tile = TernaryProduct.TileTokens;
        return Math.Max(1, ScratchTarget / (bytesPerToken * Tile)) * Tile;
    }

    /// <summary>The range of any number of activations.</summary>
    internal static float RangeOf(float* x, long count)
    {
        float range = Absmax.Epsilon;
        for (long at = 0; at < count; at += 1 << 30)
        {
            // Once NaN, the maximum stays NaN.
            range = MathF.Max(range, Absmax.Range(new ReadOnlySpan<float>(x + at, (int)Math.Min(1 << 30, count - at))));
        }
        return range;
    }

    /// <summary>At least so many bytes at a 64-byte boundary, until this thread asks again.</summary>
    internal static byte* Scratch(long byteCount)
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

    /// <summary>Activations as a kernel takes them, and the room that was asked for before them. They are valid until this
    /// thread uses its scratch memory again.</summary>
    internal readonly struct Quantized(byte* room, sbyte* tiles, float* scales, int* sums)
    {
        public byte* Room { get; } = room;

        public sbyte* Tiles { get; } = tiles;

        public float* Scales { get; } = scales;

        public int* Sums { get; } = sums;
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

    private readonly struct ExpandJob(IBitKernel kernel, TernaryProduct product, byte* expanded) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            byte* twoBit = expanded + (part * PanelLayout.PanelBytes(product.PaddedColumns, WeightPacking.TwoBit));
            int panels = PanelLayout.Panels(product.Outputs), end = IParallelJob.FirstOf(part + 1, parts, panels);
            for (int panel = IParallelJob.FirstOf(part, parts, panels); panel < end; panel++)
            {
                DenseForm.Expand(product.Weights + (panel * product.PanelBytes), product.PaddedColumns, twoBit);
                kernel.Multiply(product.WithExpanded(panel, twoBit), panel, panel + 1);
            }
        }
    }

    private readonly struct QuantizeJob(
        float* x, int tokens, int columns, int padded, float? tensorRange, sbyte* rows, sbyte* tiles, float* scales, int* sums)
        : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int count = ActivationTiles.Count(tokens);
            ActivationTiles.FillInt8(
                x, tokens, columns, padded, tensorRange,
                IParallelJob.FirstOf(part, parts, count), IParallelJob.FirstOf(part + 1, parts, count),
                rows + ((long)part * ActivationTiles.TogetherTokens * padded), tiles, scales, sums);
        }
    }

    private readonly struct ArrangeJob(float* x, int tokens, int columns, int padded, float* tiles) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int count = ActivationTiles.Count(tokens);
            ActivationTiles.FillFloat32(
                x, tokens, columns, padded,
                IParallelJob.FirstOf(part, parts, count), IParallelJob.FirstOf(part + 1, parts, count), tiles);
        }
    }
}
