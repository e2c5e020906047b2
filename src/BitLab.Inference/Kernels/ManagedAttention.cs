using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace BitLab.Inference;

/// <summary>Attention in C#: score[j] = scale · Σ q[d] · k[j, d] from d = 0 up, softmax over the positions a token sees,
/// output[d] = (Σ exp(score[j] - max) · v[j, d] from j = 0 up) · (1 / Σ exp(score[j] - max)).</summary>
internal static unsafe class ManagedAttention
{
    private const int Lanes = VectorMath.Lanes;
    private const int Rows = 4;

    // Positions whose values stay in the first-level cache while all elements of a head are summed.
    private const int ValueBlock = 32;

    public static void Attend(in AttentionTask task)
    {
        int rows = task.Tokens * task.Group;
        int row = 0;
        if (task.Type == ElementType.Float32)
        {
            for (; row + Rows <= rows; row += Rows)
                FourRows(task, ElementType.Float32, row);
            for (; row < rows; row++)
                OneRow(task, ElementType.Float32, row);
        }
        else
        {
            for (; row + Rows <= rows; row += Rows)
                FourRows(task, ElementType.Float16, row);
            for (; row < rows; row++)
                OneRow(task, ElementType.Float16, row);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FourRows(in AttentionTask task, ElementType type, int row)
    {
        float* q0 = Query(task, row), q1 = Query(task, row + 1), q2 = Query(task, row + 2), q3 = Query(task, row + 3);
        int positions = Positions(task, row + 3);
        Vector512<float> scale = Vector512.Create(task.Scale);
        float* scores = task.Scores;
        for (int first = 0; first < positions; first += Lanes, scores += Lanes)
        {
            Vector512<float> a = Vector512<float>.Zero, b = a, c = a, d = a;
            long at = (long)first * task.HeadDim;
            for (int i = 0; i < task.HeadDim; i++, at += Lanes)
            {
                Vector512<float> keys = VectorMath.Load(type, task.Keys, at);
                a = Vector512.FusedMultiplyAdd(Vector512.Create(q0[i]), keys, a);
                b = Vector512.FusedMultiplyAdd(Vector512.Create(q1[i]), keys, b);
                c = Vector512.FusedMultiplyAdd(Vector512.Create(q2[i]), keys, c);
                d = Vector512.FusedMultiplyAdd(Vector512.Create(q3[i]), keys, d);
            }
            (a * scale).Store(scores);
            (b * scale).Store(scores + task.ScoreStride);
            (c * scale).Store(scores + (2L * task.ScoreStride));
            (d * scale).Store(scores + (3L * task.ScoreStride));
        }
        float* inverses = stackalloc float[Rows];
        for (int i = 0; i < Rows; i++)
            inverses[i] = Softmax(Scores(task, i), Positions(task, row + i), positions);
        float* o0 = Output(task, row), o1 = Output(task, row + 1), o2 = Output(task, row + 2), o3 = Output(task, row + 3);
        float* p0 = Scores(task, 0), p1 = Scores(task, 1), p2 = Scores(task, 2), p3 = Scores(task, 3);
        for (int block = 0; block < positions; block += ValueBlock)
        {
            int end = Math.Min(block + ValueBlock, positions);
            bool isFirst = block == 0;
            for (int element = 0; element < task.HeadDim; element += Lanes)
            {
                int count = Math.Min(Lanes, task.HeadDim - element);
                Vector512<float> a = Partial(o0 + element, count, isFirst), b = Partial(o1 + element, count, isFirst);
                Vector512<float> c = Partial(o2 + element, count, isFirst), d = Partial(o3 + element, count, isFirst);
                for (int position = block; position < end; position++)
                {
                    Vector512<float> values = VectorMath.Load(type, task.Values, ((long)position * task.ValueStride) + element);
                    a = Vector512.FusedMultiplyAdd(Vector512.Create(p0[position]), values, a);
                    b = Vector512.FusedMultiplyAdd(Vector512.Create(p1[position]), values, b);
                    c = Vector512.FusedMultiplyAdd(Vector512.Create(p2[position]), values, c);
                    d = Vector512.FusedMultiplyAdd(Vector512.Create(p3[position]), values, d);
                }
                Keep(a, o0 + element, count);
                Keep(b, o1 + element, count);
                Keep(c, o2 + element, count);
                Keep(d, o3 + element, count);
            }
        }
        for (int i = 0; i < Rows; i++)
            ScaleBy(Output(task, row + i), task.HeadDim, inverses[i]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void OneRow(in AttentionTask task, ElementType type, int row)
    {
        float* query = Query(task, row), scores = task.Scores, output = Output(task, row);
        int positions = Positions(task, row);
        for (int first = 0; first < positions; first += Lanes)
        {
            Vector512<float> sum = Vector512<float>.Zero;
            long at = (long)first * task.HeadDim;
            for (int i = 0; i < task.HeadDim; i++, at += Lanes)
                sum = Vector512.FusedMultiplyAdd(Vector512.Create(query[i]), VectorMath.Load(type, task.Keys, at), sum);
            (sum * task.Scale).Store(scores + first);
        }
        float inverse = Softmax(scores, positions, positions);
        for (int element = 0; element < task.HeadDim; element += Lanes)
        {
            Vector512<float> sum = Vector512<float>.Zero;
            for (int position = 0; position < positions; position++)
            {
                Vector512<float> values = VectorMath.Load(type, task.Values, ((long)position * task.ValueStride) + element);
                sum = Vector512.FusedMultiplyAdd(Vector512.Create(scores[position]), values, sum);
            }
            Keep(sum, output + element, Math.Min(Lanes, task.HeadDim - element));
        }
        ScaleBy(output, task.HeadDim, inverse);
    }

    /// <summary>exp(score - max) for the first <paramref name="seen"/> scores, zeros up to <paramref name="computed"/>.</summary>
    /// <returns>1 / Σ exp(score - max), summed in sixteen lanes.</returns>
    private static float Softmax(float* scores, int seen, int computed)
    {
        // What the row does not see in its last block becomes zero and adds nothing.
        int padded = (seen + Lanes - 1) / Lanes * Lanes;
        for (int i = seen; i < padded; i++)
            scores[i] = float.NegativeInfinity;
        Vector512<float> largest = Vector512.Create(float.NegativeInfinity);
        for (int i = 0; i < padded; i += Lanes)
            largest = Vector512.Max(largest, Vector512.Load(scores + i));
        Vector512<float> max = Vector512.Create(VectorMath.Max(largest)), sum = Vector512<float>.Zero;
        for (int i = 0; i < padded; i += Lanes)
        {
            Vector512<float> score = Vector512.Load(scores + i);
            Vector512<float> weight = VectorMath.Exp(score - max)
                & ~Vector512.Equals(score, Vector512.Create(float.NegativeInfinity));
            sum += weight;
            weight.Store(scores + i);
        }
        for (int i = padded; i < computed; i++)
            scores[i] = 0;
        return 1f / VectorMath.Sum(sum);
    }

    private static void ScaleBy(float* output, int count, float factor)
    {
        for (int i = 0; i < count; i++)
            output[i] *= factor;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Partial(float* output, int count, bool isFirst) =>
        isFirst ? Vector512<float>.Zero
        : count == Lanes ? Vector512.Load(output)
        : VectorMath.LoadFirst(output, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Keep(Vector512<float> value, float* output, int count)
    {
        if (count == Lanes)
            value.Store(output);
        else
            VectorMath.StoreFirst(value, output, count);
    }

    // The positions that a row sees. Rows are ordered by token, then by head.
    private static int Positions(in AttentionTask task, int row) => task.FirstPosition + (row / task.Group) + 1;

    private static float* Query(in AttentionTask task, int row) =>
        task.Queries + (row / task.Group * task.QueryStride) + ((long)(row % task.Group) * task.HeadDim);

    private static float* Output(in AttentionTask task, int row) =>
        task.Output + (row / task.Group * task.OutputStride) + ((long)(row % task.Group) * task.HeadDim);

    private static float* Scores(in AttentionTask task, int row) => task.Scores + ((long)row * task.ScoreStride);
}
