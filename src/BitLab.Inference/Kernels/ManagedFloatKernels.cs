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
        for (int row = firstRow; row < endRow;)
        {
            byte* w = product.Weights + (row * rowBytes);
            int rows = endRow - row >= 4 ? 4 : 1;
            for (int token = 0; token < product.Tokens; token++)
            {
                float* x = product.X + ((long)token * columns), y = product.Y + (token * product.OutputStride) + row;
                if (rows == 4)
                    FourRows(type, w, rowBytes, x, columns, y);
                else
                    *y = Dot(type, w, x, columns);
            }
            row += rows;
        }
    }

    // Four rows at a time, so that no addition waits for the one before it.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FourRows(ElementType type, byte* w, long rowBytes, float* x, int columns, float* y)
    {
        Vector512<float> a = Vector512<float>.Zero, b = a, c = a, d = a;
        byte* w1 = w + rowBytes, w2 = w1 + rowBytes, w3 = w2 + rowBytes;
        int i = 0;
        for (; i + Lanes <= columns; i += Lanes)
        {
            Vector512<float> value = Vector512.Load(x + i);
            a = Vector512.FusedMultiplyAdd(value, VectorMath.Load(type, w, i), a);
            b = Vector512.FusedMultiplyAdd(value, VectorMath.Load(type, w1, i), b);
            c = Vector512.FusedMultiplyAdd(value, VectorMath.Load(type, w2, i), c);
            d = Vector512.FusedMultiplyAdd(value, VectorMath.Load(type, w3, i), d);
        }
        y[0] = VectorMath.Sum(Rest(type, w, x, i, columns, a));
        y[1] = VectorMath.Sum(Rest(type, w1, x, i, columns, b));
        y[2] = VectorMath.Sum(Rest(type, w2, x, i, columns, c));
        y[3] = VectorMath.Sum(Rest(type, w3, x, i, columns, d));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Dot(ElementType type, byte* w, float* x, int columns)
    {
        Vector512<float> sum = Vector512<float>.Zero;
        int i = 0;
        for (; i + Lanes <= columns; i += Lanes)
            sum = Vector512.FusedMultiplyAdd(Vector512.Load(x + i), VectorMath.Load(type, w, i), sum);
        return VectorMath.Sum(Rest(type, w, x, i, columns, sum));
    }

    // The columns behind the last whole register.
    private static Vector512<float> Rest(ElementType type, byte* w, float* x, int from, int columns, Vector512<float> sum)
    {
        if (from == columns)
            return sum;
        int rest = columns - from;
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
