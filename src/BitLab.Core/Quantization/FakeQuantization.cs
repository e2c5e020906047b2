using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace BitLab.Core;

/// <summary>Values on the grid of a quantizer, as training needs them: one pass over memory beside that for the scale, by
/// several threads. The bits are the same for any number of threads, and the same as those of the packed form.</summary>
internal static unsafe class FakeQuantization
{
    private const int Block = Absmean.BlockLength;

    // Below this, starting a thread takes longer than it saves.
    private const int ValuesPerPart = 1 << 14;

    /// <summary>Weights to scale · trit, or NaN for what shares a scale with a weight that is not finite.</summary>
    /// <param name="weights">(rows, columns).</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="config">How.</param>
    /// <param name="lambda">How far, above 0 to 1.</param>
    /// <param name="values">(rows, columns), the result; its memory may be that of the weights.</param>
    /// <param name="scales">One, or one a row: the scales, or null where nobody asks.</param>
    public static void Weights(
        float* weights, long rows, long columns, BitQuantConfig config, float lambda, float* values, float* scales)
    {
        if (config.WeightGranularity == Granularity.PerChannel)
        {
            var eachRow = new WeightRowsJob(weights, rows, columns, config.WeightScale, lambda, values, scales);
            ThreadTeam.Run(ref eachRow, Parts(rows * columns, rows));
            return;
        }
        float scale = config.WeightScale == WeightScale.Absmedian
            ? Absmedian.ScaleOrNaN(new ReadOnlySpan<float>(weights, checked((int)(rows * columns))))
            : MeanScale(weights, rows * columns);
        if (scales != null)
            *scales = scale;
        var quantize = new WeightBlocksJob(weights, rows * columns, scale, lambda, values);
        ThreadTeam.Run(ref quantize, Parts(rows * columns));
    }

    /// <summary>Activations to q · (range / 127), or NaN for what shares a range with a value that is not finite.</summary>
    /// <param name="activations">(rows, columns).</param>
    /// <param name="rows">Rows, tokens.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="granularity">What shares a range.</param>
    /// <param name="lambda">How far, above 0 to 1.</param>
    /// <param name="values">(rows, columns), the result; its memory may be that of the activations.</param>
    public static void Activations(
        float* activations, long rows, long columns, Granularity granularity, float lambda, float* values)
    {
        if (granularity != Granularity.PerTensor)
        {
            var eachRow = new ActivationRowsJob(activations, rows, columns, lambda, values);
            ThreadTeam.Run(ref eachRow, Parts(rows * columns, rows));
            return;
        }
        var quantize = new ActivationBlocksJob(activations, rows * columns, Range(activations, rows * columns), lambda, values);
        ThreadTeam.Run(ref quantize, Parts(rows * columns));
    }

    /// <summary>value = clamp(round(x · toGrid), lowest, highest) · step, and with lambda below 1, x + (value - x) · lambda.
    /// Each operation is rounded by itself, as LibTorch's are. A zero is positive, as in the packed form.</summary>
    // Optimized at once: a step of a large layer calls this too seldom for the runtime to see soon that it is worth it.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Fill(
        ReadOnlySpan<float> x, float toGrid, float lowest, float highest, float step, float lambda, Span<float> values)
    {
        Vector512<float> low = Vector512.Create(lowest), high = Vector512.Create(highest);
        ref float from = ref MemoryMarshal.GetReference(x), to = ref MemoryMarshal.GetReference(values);
        int i = 0, vectors = Math.Min(x.Length, values.Length) & -Vector512<float>.Count;
        for (; i < vectors; i += Vector512<float>.Count)
        {
            Vector512<float> sixteen = Vector512.LoadUnsafe(ref from, (nuint)i);
            Vector512<float> rounded = Vector512.ClampNative(Vector512.Round(sixteen * toGrid), low, high);
            // Adding 0 makes -0 to 0.
            Vector512<float> value = (rounded + Vector512<float>.Zero) * step;
            (lambda == 1 ? value : ((value - sixteen) * lambda) + sixteen).StoreUnsafe(ref to, (nuint)i);
        }
        for (; i < x.Length; i++)
        {
            float value = (Math.Clamp(MathF.Round(x[i] * toGrid), lowest, highest) + 0f) * step;
            values[i] = lambda == 1 ? value : ((value - x[i]) * lambda) + x[i];
        }
    }

    private static float MeanScale(float* weights, long count)
    {
        int blocks = Blocks(count);
        double[] sums = ArrayPool<double>.Shared.Rent(blocks);
        var job = new SumsJob(weights, count, sums);
        ThreadTeam.Run(ref job, Parts(count));
        double sum = 0;
        foreach (double each in sums.AsSpan(0, blocks))
            sum += each;
        ArrayPool<double>.Shared.Return(sums);
        return Absmean.ScaleOf(sum, count);
    }

    private static float Range(float* activations, long count)
    {
        int blocks = Blocks(count);
        float[] ranges = ArrayPool<float>.Shared.Rent(blocks);
        var job = new RangesJob(activations, count, ranges);
        ThreadTeam.Run(ref job, Parts(count));
        float range = Absmax.Epsilon;
        // Once NaN, the maximum stays NaN.
        foreach (float each in ranges.AsSpan(0, blocks))
            range = MathF.Max(range, each);
        ArrayPool<float>.Shared.Return(ranges);
        return range;
    }

    private static int Parts(long values, long most = int.MaxValue) =>
        (int)Math.Clamp(values / ValuesPerPart, 1, Math.Min(most, int.MaxValue));

    private static int Blocks(long count) => checked((int)((count + Block - 1) / Block));

    private static int LengthOf(int block, long count) => (int)Math.Min(Block, count - ((long)block * Block));

    // Where a part begins when rows or values are divided.
    private static long FirstOf(int part, int parts, long count) => (long)((Int128)count * part / parts);

    private readonly struct SumsJob(float* weights, long count, double[] sums) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int block = IParallelJob.FirstOf(part, parts, Blocks(count)), end = IParallelJob.FirstOf(part + 1, parts, Blocks(count));
            // Two at a time: each waits for its own additions.
            for (; block + 2 <= end && LengthOf(block + 1, count) == Block; block += 2)
                (sums[block], sums[block + 1]) = Absmean.SumsOfBlocks(At(block), At(block + 1));
            for (; block < end; block++)
                sums[block] = Absmean.SumOfBlock(At(block));
        }

        private ReadOnlySpan<float> At(int block) => new(weights + ((long)block * Block), LengthOf(block, count));
    }

    private readonly struct RangesJob(float* activations, long count, float[] ranges) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int end = IParallelJob.FirstOf(part + 1, parts, Blocks(count));
            for (int block = IParallelJob.FirstOf(part, parts, Blocks(count)); block < end; block++)
                ranges[block] = Absmax.Range(new ReadOnlySpan<float>(activations + ((long)block * Block), LengthOf(block, count)));
        }
    }

    private readonly struct WeightBlocksJob(float* weights, long count, float scale, float lambda, float* values) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            long end = FirstOf(part + 1, parts, count);
            for (long at = FirstOf(part, parts, count); at < end; at += Block)
            {
                int length = (int)Math.Min(Block, end - at);
                Absmean.FakeQuantize(new(weights + at, length), scale, new(values + at, length), lambda);
            }
        }
    }

    private readonly struct ActivationBlocksJob(float* activations, long count, float range, float lambda, float* values)
        : IParallelJob
    {
        public void Run(int part, int parts)
        {
            long end = FirstOf(part + 1, parts, count);
            for (long at = FirstOf(part, parts, count); at < end; at += Block)
            {
                int length = (int)Math.Min(Block, end - at);
                Absmax.FakeQuantize(new(activations + at, length), range, new(values + at, length), lambda);
            }
        }
    }

    private readonly struct WeightRowsJob(
        float* weights, long rows, long columns, WeightScale kind, float lambda, float* values, float* scales) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int length = checked((int)columns);
            long end = FirstOf(part + 1, parts, rows);
            for (long row = FirstOf(part, parts, rows); row < end; row++)
            {
                var w = new ReadOnlySpan<float>(weights + (row * columns), length);
                float scale = kind == WeightScale.Absmedian ? Absmedian.ScaleOrNaN(w) : Absmean.ScaleOrNaN(w);
                if (scales != null)
                    scales[row] = scale;
                Absmean.FakeQuantize(w, scale, new(values + (row * columns), length), lambda);
            }
        }
    }

    private readonly struct ActivationRowsJob(float* activations, long rows, long columns, float lambda, float* values)
        : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int length = checked((int)columns);
            long end = FirstOf(part + 1, parts, rows);
            for (long row = FirstOf(part, parts, rows); row < end; row++)
            {
                var x = new ReadOnlySpan<float>(activations + (row * columns), length);
                Absmax.FakeQuantize(x, Absmax.Range(x), new(values + (row * columns), length), lambda);
            }
        }
    }
}
