using System.Runtime.CompilerServices;

namespace BitLab.Core;

/// <summary>The SIMD kernel in C#, for where there is no native library.</summary>
/// <remarks>A register holds one 32-bit lane for each of its rows of weights; an activation is broadcast to all of them.
/// So sums stay in their lanes, and nothing is added across a register.</remarks>
/// <typeparam name="T">The registers.</typeparam>
internal sealed unsafe class ManagedKernel<T> : IBitKernel
    where T : struct, ILanes<T>
{
    public string Name => T.Name;

    public string Isa => T.Isa;

    public bool HasNativeBackend => false;

    public bool IsSupported => T.IsSupported;

    public bool Serves(BitQuantConfig config) => true;

    public void Multiply(in TernaryProduct product, int firstPanel, int endPanel)
    {
        bool isInt8 = product.Int8 != null;
        for (int panel = firstPanel; panel < endPanel; panel++)
        {
            byte* weights = product.Weights + (panel * product.PanelBytes);
            for (int row = 0; row < PanelLayout.PanelRows; row += 2 * T.Rows)
            {
                var target = new Target(product, (panel * PanelLayout.PanelRows) + row);
                byte* words = weights + (row * sizeof(uint));
                for (int first = 0; first < product.Tokens; first += TernaryProduct.TileTokens)
                {
                    int tileTokens = Math.Min(TernaryProduct.TileTokens, product.Tokens - first);
                    int token = 0;
                    for (; token + 4 <= tileTokens; token += 4)
                    {
                        if (isInt8)
                            FourTokensInt8(product, words, first, tileTokens, token, target);
                        else
                            FourTokensFloat32(product, words, first, tileTokens, token, target);
                    }
                    for (; token < tileTokens; token++)
                    {
                        if (isInt8)
                            OneTokenInt8(product, words, first, tileTokens, token, target);
                        else
                            OneTokenFloat32(product, words, first, tileTokens, token, target);
                    }
                }
            }
        }
    }

    private static void OneTokenInt8(
        in TernaryProduct product, byte* words, int first, int tileTokens, int token, in Target target)
    {
        int* x = (int*)(product.Int8 + ((long)first * product.PaddedColumns)) + token;
        T sums0 = T.Zero, sums1 = T.Zero;
        for (int step = product.PaddedColumns / PanelLayout.StepColumns; step > 0; step--)
        {
            T words0 = T.Load(words), words1 = T.Load(words + (T.Rows * sizeof(uint)));
            // A 16-bit lane takes four fields of two products of at most 2 · 128: 2048 at most.
            T shorts0 = T.Zero, shorts1 = T.Zero;
            for (int field = 0; field < 4; field++, x += tileTokens)
            {
                T activations = T.Broadcast(*x);
                shorts0 = T.AddProducts(shorts0, T.Codes(words0, field), activations);
                shorts1 = T.AddProducts(shorts1, T.Codes(words1, field), activations);
            }
            sums0 = T.AddPairs(sums0, shorts0);
            sums1 = T.AddPairs(sums1, shorts1);
            words += PanelLayout.StepBytes;
        }
        target.StoreInts(first + token, sums0, sums1);
    }

    private static void FourTokensInt8(
        in TernaryProduct product, byte* words, int first, int tileTokens, int token, in Target target)
    {
        int* x = (int*)(product.Int8 + ((long)first * product.PaddedColumns)) + token;
        T a0 = T.Zero, a1 = T.Zero, b0 = T.Zero, b1 = T.Zero, c0 = T.Zero, c1 = T.Zero, d0 = T.Zero, d1 = T.Zero;
        for (int step = product.PaddedColumns / PanelLayout.StepColumns; step > 0; step--)
        {
            T words0 = T.Load(words), words1 = T.Load(words + (T.Rows * sizeof(uint)));
            T shortsA0 = T.Zero, shortsA1 = T.Zero, shortsB0 = T.Zero, shortsB1 = T.Zero;
            T shortsC0 = T.Zero, shortsC1 = T.Zero, shortsD0 = T.Zero, shortsD1 = T.Zero;
            for (int field = 0; field < 4; field++, x += tileTokens)
            {
                T codes0 = T.Codes(words0, field), codes1 = T.Codes(words1, field);
                T xa = T.Broadcast(x[0]), xb = T.Broadcast(x[1]), xc = T.Broadcast(x[2]), xd = T.Broadcast(x[3]);
                shortsA0 = T.AddProducts(shortsA0, codes0, xa);
                shortsA1 = T.AddProducts(shortsA1, codes1, xa);
                shortsB0 = T.AddProducts(shortsB0, codes0, xb);
                shortsB1 = T.AddProducts(shortsB1, codes1, xb);
                shortsC0 = T.AddProducts(shortsC0, codes0, xc);
                shortsC1 = T.AddProducts(shortsC1, codes1, xc);
                shortsD0 = T.AddProducts(shortsD0, codes0, xd);
                shortsD1 = T.AddProducts(shortsD1, codes1, xd);
            }
            a0 = T.AddPairs(a0, shortsA0);
            a1 = T.AddPairs(a1, shortsA1);
            b0 = T.AddPairs(b0, shortsB0);
            b1 = T.AddPairs(b1, shortsB1);
            c0 = T.AddPairs(c0, shortsC0);
            c1 = T.AddPairs(c1, shortsC1);
            d0 = T.AddPairs(d0, shortsD0);
            d1 = T.AddPairs(d1, shortsD1);
            words += PanelLayout.StepBytes;
        }
        target.StoreInts(first + token, a0, a1);
        target.StoreInts(first + token + 1, b0, b1);
        target.StoreInts(first + token + 2, c0, c1);
        target.StoreInts(first + token + 3, d0, d1);
    }

    private static void OneTokenFloat32(
        in TernaryProduct product, byte* words, int first, int tileTokens, int token, in Target target)
    {
        float* x = product.Float32 + ((long)first * product.PaddedColumns) + token;
        T sums0 = T.Zero, sums1 = T.Zero;
        for (int step = product.PaddedColumns / PanelLayout.StepColumns; step > 0; step--)
        {
            T words0 = T.Load(words), words1 = T.Load(words + (T.Rows * sizeof(uint)));
            for (int column = 0; column < PanelLayout.StepColumns; column++, x += tileTokens)
            {
                int shift = (8 * (column % 4)) + (2 * (column / 4));
                sums0 = T.AddFloats(sums0, T.Trits(words0, shift), *x);
                sums1 = T.AddFloats(sums1, T.Trits(words1, shift), *x);
            }
            words += PanelLayout.StepBytes;
        }
        target.StoreFloats(first + token, sums0, sums1);
    }

    private static void FourTokensFloat32(
        in TernaryProduct product, byte* words, int first, int tileTokens, int token, in Target target)
    {
        float* x = product.Float32 + ((long)first * product.PaddedColumns) + token;
        T a0 = T.Zero, a1 = T.Zero, b0 = T.Zero, b1 = T.Zero, c0 = T.Zero, c1 = T.Zero, d0 = T.Zero, d1 = T.Zero;
        for (int step = product.PaddedColumns / PanelLayout.StepColumns; step > 0; step--)
        {
            T words0 = T.Load(words), words1 = T.Load(words + (T.Rows * sizeof(uint)));
            for (int column = 0; column < PanelLayout.StepColumns; column++, x += tileTokens)
            {
                int shift = (8 * (column % 4)) + (2 * (column / 4));
                T trits0 = T.Trits(words0, shift), trits1 = T.Trits(words1, shift);
                a0 = T.AddFloats(a0, trits0, x[0]);
                a1 = T.AddFloats(a1, trits1, x[0]);
                b0 = T.AddFloats(b0, trits0, x[1]);
                b1 = T.AddFloats(b1, trits1, x[1]);
                c0 = T.AddFloats(c0, trits0, x[2]);
                c1 = T.AddFloats(c1, trits1, x[2]);
                d0 = T.AddFloats(d0, trits0, x[3]);
                d1 = T.AddFloats(d1, trits1, x[3]);
            }
            words += PanelLayout.StepBytes;
        }
        target.StoreFloats(first + token, a0, a1);
        target.StoreFloats(first + token + 1, b0, b1);
        target.StoreFloats(first + token + 2, c0, c1);
        target.StoreFloats(first + token + 3, d0, d1);
    }

    /// <summary>Where the sums of two registers of rows go, and what is applied to them on the way.</summary>
    private readonly struct Target
    {
        private readonly float* output;
        private readonly long outputs;
        private readonly float* tokenScales;
        private readonly int* tokenSums;
        private readonly int rowsLeft;
        private readonly T scales0;
        private readonly T scales1;
        private readonly T bias0;
        private readonly T bias1;
        private readonly bool hasBias;

        public Target(in TernaryProduct product, int firstOutput)
        {
            output = product.Output + firstOutput;
            outputs = product.Outputs;
            tokenScales = product.TokenScales;
            tokenSums = product.TokenSums;
            rowsLeft = product.Outputs - firstOutput;
            hasBias = product.Bias != null;
            float* rows = stackalloc float[2 * T.Rows];
            Fill(rows, product.WeightScales + (firstOutput * product.WeightScaleStride), product.WeightScaleStride);
            scales0 = T.Load((byte*)rows);
            scales1 = T.Load((byte*)(rows + T.Rows));
            // Adding -0 changes no float, not even 0 or -0: it stands for "no bias".
            float noBias = -0f;
            Fill(rows, hasBias ? product.Bias + firstOutput : &noBias, hasBias ? 1 : 0);
            bias0 = T.Load((byte*)rows);
            bias1 = T.Load((byte*)(rows + T.Rows));
        }

        public void StoreInts(int token, T sums0, T sums1) => Store(
            token,
            T.ScaleInts(sums0, tokenSums[token], scales0, tokenScales[token], bias0),
            T.ScaleInts(sums1, tokenSums[token], scales1, tokenScales[token], bias1));

        public void StoreFloats(int token, T sums0, T sums1) =>
            Store(token, T.ScaleFloats(sums0, scales0, bias0), T.ScaleFloats(sums1, scales1, bias1));

        private void Store(int token, T values0, T values1)
        {
            float* row = output + (token * outputs);
            if (rowsLeft >= 2 * T.Rows)
            {
                T.Store(values0, row);
                T.Store(values1, row + T.Rows);
                return;
            }
            float* all = stackalloc float[2 * T.Rows];
            T.Store(values0, all);
            T.Store(values1, all + T.Rows);
            for (int i = 0; i < rowsLeft; i++)
                row[i] = all[i];
        }

        // Rows beyond the last get zeros; what is computed from them is not stored.
        private void Fill(float* rows, float* source, int stride)
        {
            for (int i = 0; i < 2 * T.Rows; i++)
                rows[i] = i < rowsLeft ? source[i * stride] : 0f;
        }
    }
}
