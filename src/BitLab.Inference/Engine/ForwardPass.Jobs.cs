using System.Runtime.Intrinsics;
using BitLab.Core;

namespace BitLab.Inference;

internal sealed unsafe partial class ForwardPass
{
    // Tokens whose attention one thread computes before it takes the next: their queries stay in the first-level cache.
    private const int AttendTokens = 16;

    // Multiplications of attention that are worth a thread.
    private const long AttendWork = 1 << 16;

    private int AttendParts(int units)
    {
        long work = 0;
        foreach (ref readonly BatchEntry entry in EntrySpan)
            work += (long)entry.Count * (entry.Sequence.Position + entry.Count) * queryWidth;
        return (int)Math.Clamp(work / AttendWork, 1, Math.Min(units, scoreParts));
    }

    private readonly struct NormJob(IFloatKernels kernels, float* from, FloatVector weight, float epsilon, int rows, float* to)
        : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int columns = weight.Length, end = IParallelJob.FirstOf(part + 1, parts, rows);
            for (int row = IParallelJob.FirstOf(part, parts, rows); row < end; row++)
                kernels.Normalize(from + ((long)row * columns), weight.Data, epsilon, columns, to + ((long)row * columns));
        }
    }

    // x += h.
    private readonly struct AddJob(float* x, float* h, long count) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            long i = count * part / parts, end = count * (part + 1) / parts;
            for (; i + VectorMath.Lanes <= end; i += VectorMath.Lanes)
                (Vector512.Load(x + i) + Vector512.Load(h + i)).Store(x + i);
            for (; i < end; i++)
                x[i] += h[i];
        }
    }

    // Turns queries and keys by their positions, and keeps keys and values.
    private readonly struct PlaceJob(ForwardPass pass, int layer) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            BitNetConfig config = pass.config;
            int end = IParallelJob.FirstOf(part + 1, parts, pass.TokenCount);
            for (int row = IParallelJob.FirstOf(part, parts, pass.TokenCount); row < end; row++)
            {
                int position = pass.positions[row];
                float* cosines = pass.rotary.Cosines(position), sines = pass.rotary.Sines(position);
                float* key = pass.keys + ((long)row * pass.keyWidth);
                pass.kernels.Rotate(
                    pass.queries + ((long)row * pass.queryWidth), config.NumAttentionHeads, config.HeadDim, cosines, sines);
                pass.kernels.Rotate(key, config.NumKeyValueHeads, config.HeadDim, cosines, sines);
                pass.entries[pass.rowEntries[row]].Sequence.Store(
                    layer, position, key, pass.values + ((long)row * pass.keyWidth));
            }
        }
    }

    // The units are one head of keys and some tokens of one sequence each. Since those later in a text are more work, each
    // thread takes the next when it is done with its last.
    private readonly struct AttendJob(ForwardPass pass, int layer, int* next) : IParallelJob
    {
        public int Units
        {
            get
            {
                int units = 0;
                foreach (ref readonly BatchEntry entry in pass.EntrySpan)
                    units += Blocks(entry) * pass.config.NumKeyValueHeads;
                return units;
            }
        }

        public void Run(int part, int parts)
        {
            int units = Units;
            for (int unit = Interlocked.Increment(ref *next) - 1; unit < units; unit = Interlocked.Increment(ref *next) - 1)
                Attend(unit, part);
        }

        private static int Blocks(in BatchEntry entry) => (entry.Count + AttendTokens - 1) / AttendTokens;

        private void Attend(int unit, int part)
        {
            int heads = pass.config.NumKeyValueHeads;
            foreach (ref readonly BatchEntry entry in pass.EntrySpan)
            {
                int units = Blocks(entry) * heads;
                if (unit < units)
                {
                    // The last tokens first: they are the most work.
                    Attend(entry, (Blocks(entry) - 1 - (unit / heads)) * AttendTokens, unit % heads, part);
                    return;
                }
                unit -= units;
            }
        }

        private void Attend(in BatchEntry entry, int firstToken, int head, int part)
        {
            BitNetConfig config = pass.config;
            BitNetSequence sequence = entry.Sequence;
            int group = config.NumAttentionHeads / config.NumKeyValueHeads;
            long at = ((long)(entry.FirstRow + firstToken) * pass.queryWidth) + ((long)head * group * config.HeadDim);
            pass.kernels.Attend(new AttentionTask
            {
                Tokens = Math.Min(AttendTokens, entry.Count - firstToken),
                FirstPosition = sequence.Position + firstToken,
                Group = group,
                HeadDim = config.HeadDim,
                ValueStride = sequence.ValueStride,
                Type = sequence.Type,
                Scale = 1f / MathF.Sqrt(config.HeadDim),
                Queries = pass.queries + at,
                QueryStride = pass.queryWidth,
                Keys = sequence.Keys(layer, head),
                Values = sequence.Values(layer, head),
                Scores = (float*)pass.scores!.Pointer + ((long)part * AttentionTask.MaxRows * pass.scoreStride),
                ScoreStride = pass.scoreStride,
                Output = pass.attention + at,
                OutputStride = pass.queryWidth,
            });
        }
    }

    // The gated product, and its norm while it is in the cache.
    private readonly struct GateJob(ForwardPass pass, FloatVector? norm) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int width = pass.config.IntermediateSize, end = IParallelJob.FirstOf(part + 1, parts, pass.TokenCount);
            for (int row = IParallelJob.FirstOf(part, parts, pass.TokenCount); row < end; row++)
            {
                float* gate = pass.gate + ((long)row * width), up = pass.up + ((long)row * width);
                if (pass.config.HiddenAct == BitNetActivation.Silu)
                    pass.kernels.GateSilu(gate, up, width);
                else
                    pass.kernels.GateSquaredRelu(gate, up, width);
                if (norm is not null)
                    pass.kernels.Normalize(gate, norm.Data, pass.config.RmsNormEps, width, gate);
            }
        }
    }

    private readonly struct DenseJob(IFloatKernels kernels, DenseProduct product, int rows) : IParallelJob
    {
        public void Run(int part, int parts) =>
            kernels.Multiply(product, IParallelJob.FirstOf(part, parts, rows), IParallelJob.FirstOf(part + 1, parts, rows));
    }
}
