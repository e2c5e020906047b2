using System.Runtime.InteropServices;

namespace BitLab.Inference.Tests;

/// <summary>Random queries, keys and values of one head.</summary>
internal sealed unsafe class AttentionCase : IDisposable
{
    private readonly int tokens, before, group, headDim, valueStride, scoreStride;
    private readonly ElementType type;
    private readonly float[] queries, keys, values;
    private readonly byte* keyMemory;
    private readonly byte* valueMemory;

    public AttentionCase(int tokens, int before, int group, int headDim, ElementType type)
    {
        (this.tokens, this.before, this.group, this.headDim, this.type) = (tokens, before, group, headDim, type);
        int positions = before + tokens;
        valueStride = (headDim + 15) / 16 * 16;
        scoreStride = (positions + 15) / 16 * 16;
        queries = FloatKernelTests.Floats(tokens * group * headDim, 1);
        keys = FloatKernelTests.Floats(positions * headDim, 2);
        values = FloatKernelTests.Floats(positions * headDim, 3);
        // What is behind the last position is garbage that nothing may depend on.
        float[] blocks = new float[scoreStride * headDim], rows = new float[positions * valueStride];
        Array.Fill(blocks, 7e4f);
        Array.Fill(rows, -7e4f);
        for (int p = 0; p < positions; p++)
        {
            for (int d = 0; d < headDim; d++)
            {
                blocks[(p / 16 * 16 * headDim) + (d * 16) + (p % 16)] = keys[(p * headDim) + d];
                rows[(p * valueStride) + d] = values[(p * headDim) + d];
            }
        }
        keyMemory = Copy(FloatKernelTests.Elements(blocks, type));
        valueMemory = Copy(FloatKernelTests.Elements(rows, type));
    }

    public float[] Run(IFloatKernels kernels)
    {
        float[] output = new float[queries.Length], scores = new float[AttentionTask.MaxRows * scoreStride];
        fixed (float* q = queries, o = output, s = scores)
        {
            kernels.Attend(new AttentionTask
            {
                Tokens = tokens,
                FirstPosition = before,
                Group = group,
                HeadDim = headDim,
                ValueStride = valueStride,
                Type = type,
                Scale = 1f / MathF.Sqrt(headDim),
                Queries = q,
                QueryStride = group * headDim,
                Keys = keyMemory,
                Values = valueMemory,
                Scores = s,
                ScoreStride = scoreStride,
                Output = o,
                OutputStride = group * headDim,
            });
        }
        return output;
    }

    public double[] Naive()
    {
        double[] output = new double[queries.Length];
        for (int row = 0; row < tokens * group; row++)
        {
            int seen = before + (row / group) + 1;
            double[] scores = [.. Enumerable.Range(0, seen).Select(p =>
                Enumerable.Range(0, headDim).Sum(d => (double)queries[(row * headDim) + d] * keys[(p * headDim) + d]) / Math.Sqrt(headDim))];
            double[] weights = [.. scores.Select(score => Math.Exp(score - scores.Max()))];
            for (int d = 0; d < headDim; d++)
                output[(row * headDim) + d] = Enumerable.Range(0, seen).Sum(p => weights[p] * values[(p * headDim) + d]) / weights.Sum();
        }
        return output;
    }

    public void Dispose()
    {
        NativeMemory.Free(keyMemory);
        NativeMemory.Free(valueMemory);
    }

    private static byte* Copy(byte[] bytes)
    {
        byte* memory = (byte*)NativeMemory.Alloc((nuint)bytes.Length);
        bytes.CopyTo(new Span<byte>(memory, bytes.Length));
        return memory;
    }
}
