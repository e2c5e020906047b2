using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace BitLab.Inference;

/// <summary>The float kernels in C#.</summary>
internal sealed unsafe class ManagedFloatKernels : IFloatKernels
{
    private const int Lanes = VectorMath.Lanes;

    public static ManagedFloatKernels Instance { get; } = new();

    public void Normalize(float* x, float* weight, float epsilon, int columns, float* y)
    {
        Vector512<float> squares = Vector512<float>.Zero;
        int whole = columns - (columns % Lanes);
        for (int i = 0; i < whole; i += Lanes)
        {
            Vector512<float> value = Vector512.Load(x + i);
            squares = Vector512.FusedMultiplyAdd(value, value, squares);
        }
        if (whole < columns)
        {
            Vector512<float> value = VectorMath.LoadFirst(x + whole, columns - whole);
            squares = Vector512.FusedMultiplyAdd(value, value, squares);
        }
        float scale = 1f / MathF.Sqrt((VectorMath.Sum(squares) / columns) + epsilon);
        Vector512<float> scales = Vector512.Create(scale);
        for (int i = 0; i < whole; i += Lanes)
            (Vector512.Load(x + i) * scales * Vector512.Load(weight + i)).Store(y + i);
        for (int i = whole; i < columns; i++)
            y[i] = x[i] * scale * weight[i];
    }

    public void Rotate(float* heads, int count, int headDim, float* cosines, float* sines)
    {
        int half = headDim / 2, whole = half - (half % Lanes);
        for (; count > 0; count--, heads += headDim)
        {
            float* lower = heads, upper = heads + half;
            for (int i = 0; i < whole; i += Lanes)
            {
                Vector512<float> x = Vector512.Load(lower + i), y = Vector512.Load(upper + i);
                Vector512<float> cos = Vector512.Load(cosines + i), sin = Vector512.Load(sines + i);
                ((x * cos) - (y * sin)).Store(lower + i);
                ((y * cos) + (x * sin)).Store(upper + i);
            }
            for (int i = whole; i < half; i++)
            {
                float x = lower[i], y = upper[i];
                lower[i] = (x * cosines[i]) - (y * sines[i]);
                upper[i] = (y * cosines[i]) + (x * sines[i]);
            }
        }
    }

    public void GateSquaredRelu(float* gate, float* up, int count)
    {
        int i = 0;
        for (; i + Lanes <= count; i += Lanes)
            SquaredRelu(Vector512.Load(gate + i), Vector512.Load(up + i)).Store(gate + i);
        if (i < count)
        {
            int rest = count - i;
            VectorMath.StoreFirst(
                SquaredRelu(VectorMath.LoadFirst(gate + i, rest), VectorMath.LoadFirst(up + i, rest)), gate + i, rest);
        }
    }

    public void GateSilu(float* gate, float* up, int count)
    {
        int i = 0;
        for (; i + Lanes <= count; i += Lanes)
            Silu(Vector512.Load(gate + i), Vector512.Load(up + i)).Store(gate + i);
        if (i < count)
        {
            int rest = count - i;
            VectorMath.StoreFirst(Silu(VectorMath.LoadFirst(gate + i, rest), VectorMath.LoadFirst(up + i, rest)), gate + i, rest);
        }
    }

    public void Attend(in AttentionTask task) => ManagedAttention.Attend(task);

    public void Multiply(in DenseProduct product, int firstRow, int endRow)
    {
        // Written out for each type, so that the choice is not made for each register.
        switch (product.Type)
        {
            case ElementType.Float32:
                Multiply(product, ElementType.Float32, firstRow, endRow);
                break;
            case ElementType.BFloat16:
                Multiply(product, ElementType.BFloat16, firstRow, endRow);
                break;
            default:
                Multiply(product, ElementType.Float16, firstRow, endRow);
                break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Multiply(in DenseProduct product, ElementType type, int firstRow, int endRow)
    {
        int columns = product.Columns;
        long rowBytes = (long)columns * type.Bytes();
        for (int row = firstRow; row < endRow; row++)
        {
            for (int token = 0; token < product.Tokens; token++)
            {
                product.Y[(token * product.OutputStride) + row] =
                    Dot(type, product.Weights + (row * rowBytes), product.X + ((long)token * columns), columns);
            }
        }
    }

    // Four registers of sums, as each addition waits for the one before it in the same register.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Dot(ElementType type, byte* w, float* x, int columns)
    {
        Vector512<float> a = Vector512<float>.Zero, b = a, c = a, d = a;
        int i = 0;
        for (; i + (4 * Lanes) <= columns; i += 4 * Lanes)
        {
            a = Vector512.FusedMultiplyAdd(Vector512.Load(x + i), VectorMath.Load(type, w, i), a);
            b = Vector512.FusedMultiplyAdd(Vector512.Load(x + i + Lanes), VectorMath.Load(type, w, i + Lanes), b);
            c = Vector512.FusedMultiplyAdd(Vector512.Load(x + i + (2 * Lanes)), VectorMath.Load(type, w, i + (2 * Lanes)), c);
            d = Vector512.FusedMultiplyAdd(Vector512.Load(x + i + (3 * Lanes)), VectorMath.Load(type, w, i + (3 * Lanes)), d);
        }
        a = Rest(type, w, x, i, columns, a);
        b = Rest(type, w, x, i + Lanes, columns, b);
        c = Rest(type, w, x, i + (2 * Lanes), columns, c);
        d = Rest(type, w, x, i + (3 * Lanes), columns, d);
        return VectorMath.Sum((a + c) + (b + d));
    }

    // Sixteen columns behind the last whole four registers, or those of them that there are.
    private static Vector512<float> Rest(ElementType type, byte* w, float* x, int from, int columns, Vector512<float> sum)
    {
        if (from >= columns)
            return sum;
        int rest = Math.Min(columns - from, Lanes);
        byte* lanes = stackalloc byte[Lanes * sizeof(float)];
        new ReadOnlySpan<byte>(w + ((long)from * type.Bytes()), rest * type.Bytes()).CopyTo(new Span<byte>(lanes, Lanes * sizeof(float)));
        return Vector512.FusedMultiplyAdd(VectorMath.LoadFirst(x + from, rest), VectorMath.Load(type, lanes, 0), sum);
    }

    private static Vector512<float> SquaredRelu(Vector512<float> gate, Vector512<float> up)
    {
        Vector512<float> relu = Vector512.Max(gate, Vector512<float>.Zero);
        return relu * relu * up;
    }

    private static Vector512<float> Silu(Vector512<float> gate, Vector512<float> up) =>
        gate / (Vector512<float>.One + VectorMath.Exp(-gate)) * up;
}
