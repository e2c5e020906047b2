using BitLab.Core;
using CsCheck;

namespace BitLab.Inference.Tests;

/// <summary>Every float kernel gives the bits of the managed one, and the managed one what the formulas say.</summary>
public sealed unsafe class FloatKernelTests
{
    private static readonly IFloatKernels Managed = ManagedFloatKernels.Instance;

    private const int None = -1;

    // A theory needs a case, where there is no native library too.
    public static TheoryData<int> KernelsToCompare => NativeKernels.Count > 0 ? NativeKernels : [None];

    private static TheoryData<int> NativeKernels => [.. Enum.GetValues<NativeKernelId>().Select(id => (int)id).Where(id => new NativeKernel((NativeKernelId)id).IsSupported)];

    [Fact]
    public void The_native_kernels_are_among_those_tested()
    {
        string? expected = Environment.GetEnvironmentVariable("BITLAB_TEST_NATIVE");
        Assert.Equal(expected is null ? BitLabRuntime.HasNativeLibrary : expected == "yes", NativeKernels.Count > 0);
    }

    [Theory, MemberData(nameof(KernelsToCompare))]
    public void Norms_have_the_bits_of_the_managed_ones(int id)
    {
        if (id == None)
            return;
        foreach (int columns in (int[])[1, 15, 16, 17, 72, 2560])
        {
            float[] x = Floats(columns, 1), weight = Floats(columns, 2), expected = new float[columns], got = new float[columns];
            fixed (float* xp = x, wp = weight, ep = expected, gp = got)
            {
                Managed.Normalize(xp, wp, 1e-5f, columns, ep);
                new NativeFloatKernels(id).Normalize(xp, wp, 1e-5f, columns, gp);
                Assert.Equal(expected, got);
                // In place, too.
                new NativeFloatKernels(id).Normalize(xp, wp, 1e-5f, columns, xp);
                Assert.Equal(expected, x);
            }
        }
    }

    [Theory, MemberData(nameof(KernelsToCompare))]
    public void Rotations_and_gates_have_the_bits_of_the_managed_ones(int id)
    {
        if (id == None)
            return;
        foreach (int count in (int[])[2, 22, 64, 130])
        {
            float[] x = Floats(3 * count, 3), y = Floats(3 * count, 4), cos = Floats(count, 5), sin = Floats(count, 6);
            Compare(x, id, (kernels, p) => kernels.Rotate(p, 3, count, Pin(cos), Pin(sin)));
            Compare(x, id, (kernels, p) => kernels.GateSquaredRelu(p, Pin(y), 3 * count));
            Compare([.. x.Select(value => value * 40)], id, (kernels, p) => kernels.GateSilu(p, Pin(y), 3 * count));
        }
    }

    [Theory, MemberData(nameof(KernelsToCompare))]
    public void Attention_has_the_bits_of_the_managed_one(int id)
    {
        if (id == None)
            return;
        Gen.Select(Gen.Int[1, 9], Gen.Int[0, 70], Gen.Int[1, 5], Gen.Int[1, 40], Gen.Bool).Sample(
            (tokens, before, group, headDim, isHalf) =>
            {
                using var task = new AttentionCase(tokens, before, group, headDim, isHalf ? ElementType.Float16 : ElementType.Float32);
                Assert.Equal(task.Run(Managed), task.Run(new NativeFloatKernels(id)));
            }, iter: 200);
        using var large = new AttentionCase(16, 300, 4, 128, ElementType.Float32);
        Assert.Equal(large.Run(Managed), large.Run(new NativeFloatKernels(id)));
    }

    [Theory, MemberData(nameof(KernelsToCompare))]
    public void Float_matrices_have_the_bits_of_the_managed_product(int id)
    {
        if (id == None)
            return;
        foreach (ElementType type in Enum.GetValues<ElementType>())
        {
            Gen.Select(Gen.Int[1, 9], Gen.Int[1, 13], Gen.Int[1, 200]).Sample((tokens, rows, columns) =>
            {
                byte[] weights = Elements(Floats(rows * columns, 7), type);
                float[] x = Floats(tokens * columns, 8);
                float[] y = Multiply(Managed, weights, type, x, tokens, rows, columns);
                Assert.Equal(y, Multiply(new NativeFloatKernels(id), weights, type, x, tokens, rows, columns));
            }, iter: 100);
        }
    }

    [Fact]
    public void Attention_is_softmax_over_what_a_token_sees()
    {
        using var task = new AttentionCase(5, 20, 3, 10, ElementType.Float32);
        float[] got = task.Run(Managed);
        double[] expected = task.Naive();
        for (int i = 0; i < got.Length; i++)
            Assert.Equal(expected[i], got[i], 1e-5);
    }

    [Fact]
    public void Float_products_are_sums_of_products()
    {
        foreach (ElementType type in Enum.GetValues<ElementType>())
        {
            const int Tokens = 3, Rows = 7, Columns = 50;
            float[] w = Floats(Rows * Columns, 9), x = Floats(Tokens * Columns, 10);
            float[] y = Multiply(Managed, Elements(w, type), type, x, Tokens, Rows, Columns);
            for (int i = 0; i < y.Length; i++)
            {
                double sum = Enumerable.Range(0, Columns).Sum(k => (double)Rounded(w[(i % Rows * Columns) + k], type) * x[(i / Rows * Columns) + k]);
                Assert.Equal(sum, y[i], 1e-4);
            }
        }
    }

    [Fact]
    public void Exponentials_are_right_to_two_units_in_the_last_place()
    {
        for (float x = -87; x < 88; x += 0.00317f)
        {
            float got = VectorMath.Exp(System.Runtime.Intrinsics.Vector512.Create(x))[0];
            Assert.InRange(got / Math.Exp(x), 1 - 2.4e-7, 1 + 2.4e-7);
        }
        Assert.Equal(1f, VectorMath.Exp(System.Runtime.Intrinsics.Vector512<float>.Zero)[0]);
    }

    [Fact]
    public void Every_finite_half_is_read_exactly()
    {
        ushort* halves = stackalloc ushort[16];
        for (int bits = 0; bits < 0x10000; bits++)
        {
            Half half = BitConverter.UInt16BitsToHalf((ushort)bits);
            if (!Half.IsFinite(half))
                continue;
            halves[3] = (ushort)bits;
            float got = VectorMath.FromFloat16(System.Runtime.Intrinsics.Vector256.Load(halves))[3];
            Assert.Equal(BitConverter.SingleToInt32Bits((float)half), BitConverter.SingleToInt32Bits(got));
        }
    }

    private delegate void InPlace(IFloatKernels kernels, float* values);

    private static void Compare(float[] x, int id, InPlace run)
    {
        float[] expected = (float[])x.Clone(), got = (float[])x.Clone();
        run(Managed, Pin(expected));
        run(new NativeFloatKernels(id), Pin(got));
        Assert.Equal(expected, got);
        Assert.NotEqual(x, got);
    }

    // Pinned for good: the arrays are small and the tests few.
    private static float* Pin(float[] values) => (float*)System.Runtime.InteropServices.GCHandle.Alloc(values, System.Runtime.InteropServices.GCHandleType.Pinned).AddrOfPinnedObject();

    private static float[] Multiply(IFloatKernels kernels, byte[] weights, ElementType type, float[] x, int tokens, int rows, int columns)
    {
        float[] y = new float[tokens * rows];
        fixed (byte* wp = weights)
        {
            fixed (float* xp = x, yp = y)
            {
                kernels.Multiply(new DenseProduct(tokens, columns, type, wp, xp, yp, rows), 0, rows / 2);
                kernels.Multiply(new DenseProduct(tokens, columns, type, wp, xp, yp, rows), rows / 2, rows);
            }
        }
        return y;
    }

    internal static float[] Floats(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)((random.NextDouble() * 4) - 2))];
    }

    internal static byte[] Elements(float[] values, ElementType type) => type switch
    {
        ElementType.Float32 => [.. values.SelectMany(BitConverter.GetBytes)],
        ElementType.Float16 => [.. values.SelectMany(value => BitConverter.GetBytes((Half)value))],
        _ => [.. values.SelectMany(value => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)))],
    };

    internal static float Rounded(float value, ElementType type) => type switch
    {
        ElementType.Float32 => value,
        ElementType.Float16 => (float)(Half)value,
        _ => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000),
    };
}
