using System.Runtime.CompilerServices;

namespace BitLab.Core;

/// <summary>Several matrices multiplied by the same int8 activations, which are quantized once: the queries, keys and values
/// of an attention, the gate and the up projection of a gated MLP.</summary>
/// <remarks>Each output has the bits that <see cref="TernaryLinear"/> gives it. The threads share the panels of all matrices,
/// so they meet once, not once a matrix.</remarks>
internal static unsafe class TernaryFanOut
{
    /// <summary>The most matrices of one call.</summary>
    public const int MaxMatrices = 3;

    /// <summary>Multiplies, without bias.</summary>
    /// <param name="targets">1 to 3 rented matrices of equal columns, each with room for its outputs.</param>
    /// <param name="kernel">A kernel for int8 activations with a scale for each token.</param>
    /// <param name="x">(tokens, columns).</param>
    /// <param name="tokens">M.</param>
    public static void Forward(ReadOnlySpan<TernaryTarget> targets, IBitKernel kernel, float* x, int tokens)
    {
        if (!ShareActivations(targets, kernel))
        {
            foreach (TernaryTarget target in targets)
                TernaryLinear.Forward(target.Weights, BitQuantConfig.Default, kernel, x, tokens, bias: null, target.Output);
            return;
        }
        PackedTernaryWeights first = targets[0].Weights;
        int columns = first.Columns, padded = PanelLayout.PaddedColumns(columns, first.Packing);
        int group = TernaryLinear.GroupOf(padded);
        for (int done = 0; done < tokens; done += group)
            Group(targets, kernel, x + ((long)done * columns), Math.Min(group, tokens - done), done, padded);
    }

    private static bool ShareActivations(ReadOnlySpan<TernaryTarget> targets, IBitKernel kernel)
    {
        foreach (TernaryTarget target in targets)
        {
            if (target.Weights.Packing != targets[0].Weights.Packing)
                return false;
        }
        return kernel.Reads(targets[0].Weights.Packing, BitQuantConfig.Default);
    }

    private static void Group(ReadOnlySpan<TernaryTarget> targets, IBitKernel kernel, float* x, int tokens, int done, int padded)
    {
        TernaryLinear.Quantized quantized = TernaryLinear.Quantize(x, tokens, targets[0].Weights.Columns, padded, tensorRange: null, 0);
        var job = new MultiplyJob(kernel, targets.Length);
        int panels = 0;
        long multiplications = 0;
        for (int i = 0; i < targets.Length; i++)
        {
            PackedTernaryWeights weights = targets[i].Weights;
            job.Products[i] = new TernaryProduct(
                tokens, weights, quantized.Tiles, null, quantized.Scales, quantized.Sums, null,
                targets[i].Output + ((long)done * weights.Rows));
            panels += PanelLayout.Panels(weights.Rows);
            multiplications += (long)tokens * weights.Rows * weights.Columns;
        }
        job.Panels = panels;
        long most = Math.Min(panels, ThreadTeam.NumThreads);
        ThreadTeam.Run(ref job, (int)Math.Clamp(multiplications / TernaryLinear.MultiplicationsPerThread, 1, most));
    }

    [InlineArray(MaxMatrices)]
    private struct ProductList
    {
        private TernaryProduct first;
    }

    // The panels of all matrices in a row.
    private struct MultiplyJob(IBitKernel kernel, int count) : IParallelJob
    {
        public ProductList Products;
        public int Panels;

        public readonly void Run(int part, int parts)
        {
            int begin = IParallelJob.FirstOf(part, parts, Panels), end = IParallelJob.FirstOf(part + 1, parts, Panels);
            for (int i = 0, before = 0; i < count; i++)
            {
                ref readonly TernaryProduct product = ref Products[i];
                int panels = PanelLayout.Panels(product.Outputs);
                int from = Math.Clamp(begin - before, 0, panels), to = Math.Clamp(end - before, 0, panels);
                if (from < to)
                    kernel.Multiply(product, from, to);
                before += panels;
            }
        }
    }
}

/// <summary>A matrix and where its outputs go.</summary>
/// <param name="weights">Rented.</param>
/// <param name="output">(tokens, rows), row by row.</param>
internal readonly unsafe struct TernaryTarget(PackedTernaryWeights weights, float* output)
{
    public PackedTernaryWeights Weights { get; } = weights;

    public float* Output { get; } = output;
}
