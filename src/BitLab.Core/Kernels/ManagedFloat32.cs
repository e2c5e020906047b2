using System.Runtime.CompilerServices;

namespace BitLab.Core;

/// <summary>The float32 half of <see cref="ManagedKernel{T}"/>.</summary>
/// <remarks>Each output is summed in the order of the columns, so only other outputs can fill the time that an addition
/// takes.</remarks>
/// <typeparam name="T">The registers.</typeparam>
internal static unsafe class ManagedFloat32<T>
    where T : unmanaged, ILanes<T>
{
    public static void Multiply(in TernaryProduct product, int firstPanel, int endPanel)
    {
        for (int panel = firstPanel; panel < endPanel; panel++)
        {
            byte* weights = product.Weights + (panel * product.PanelBytes);
            for (int row = 0; row < PanelLayout.PanelRows; row += 2 * T.Rows)
            {
                var target = new ManagedTarget<T>(product, (panel * PanelLayout.PanelRows) + row);
                for (int first = 0; first < product.Tokens; first += TernaryProduct.TileTokens)
                    Tile(product, weights + (row * sizeof(uint)), first, target);
            }
        }
    }

    private static void Tile(in TernaryProduct product, byte* words, int first, in ManagedTarget<T> target)
    {
        int tokens = Math.Min(TernaryProduct.TileTokens, product.Tokens - first);
        int steps = product.PaddedColumns / PanelLayout.StepColumns;
        float* x = product.Float32 + ((long)first * product.PaddedColumns);
        T* sums = stackalloc T[2 * TernaryProduct.TileTokens];
        for (int token = 0; token < tokens; token += T.MaxTokens)
        {
            int count = Math.Min(T.MaxTokens, tokens - token);
            switch (count)
            {
                case 1: Tile<ManagedTokens.One>(words, steps, x + token, tokens, sums); break;
                case 2: Tile<ManagedTokens.Two>(words, steps, x + token, tokens, sums); break;
                case 3: Tile<ManagedTokens.Three>(words, steps, x + token, tokens, sums); break;
                case 4: Tile<ManagedTokens.Four>(words, steps, x + token, tokens, sums); break;
                case 5: Tile<ManagedTokens.Five>(words, steps, x + token, tokens, sums); break;
                case 6: Tile<ManagedTokens.Six>(words, steps, x + token, tokens, sums); break;
                case 7: Tile<ManagedTokens.Seven>(words, steps, x + token, tokens, sums); break;
                default: Tile<ManagedTokens.Eight>(words, steps, x + token, tokens, sums); break;
            }
            for (int i = 0; i < count; i++)
                target.StoreFloats(first + token + i, sums[2 * i], sums[(2 * i) + 1]);
        }
    }

    // Two registers of rows by some tokens of a tile that has `stride` of them.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Tile<TTokens>(byte* words, int steps, float* x, int stride, T* sums)
        where TTokens : IManagedTokens
    {
        T a0 = T.Zero, a1 = T.Zero, b0 = T.Zero, b1 = T.Zero, c0 = T.Zero, c1 = T.Zero, d0 = T.Zero, d1 = T.Zero;
        T e0 = T.Zero, e1 = T.Zero, f0 = T.Zero, f1 = T.Zero, g0 = T.Zero, g1 = T.Zero, h0 = T.Zero, h1 = T.Zero;
        for (; steps > 0; steps--, words += PanelLayout.StepBytes)
        {
            T words0 = T.Load(words), words1 = T.Load(words + sizeof(T));
            for (int field = 0; field < 4; field++)
            {
                T bytes0 = words0, bytes1 = words1;
                words0 = T.ShiftRight(words0, 2);
                words1 = T.ShiftRight(words1, 2);
                for (int column = 0; column < 4; column++, x += stride)
                {
                    T trits0 = T.Trits(bytes0), trits1 = T.Trits(bytes1);
                    bytes0 = T.ShiftRight(bytes0, 8);
                    bytes1 = T.ShiftRight(bytes1, 8);
                    Add(ref a0, ref a1, trits0, trits1, x);
                    if (TTokens.Count > 1)
                        Add(ref b0, ref b1, trits0, trits1, x + 1);
                    if (TTokens.Count > 2)
                        Add(ref c0, ref c1, trits0, trits1, x + 2);
                    if (TTokens.Count > 3)
                        Add(ref d0, ref d1, trits0, trits1, x + 3);
                    if (TTokens.Count > 4)
                        Add(ref e0, ref e1, trits0, trits1, x + 4);
                    if (TTokens.Count > 5)
                        Add(ref f0, ref f1, trits0, trits1, x + 5);
                    if (TTokens.Count > 6)
                        Add(ref g0, ref g1, trits0, trits1, x + 6);
                    if (TTokens.Count > 7)
                        Add(ref h0, ref h1, trits0, trits1, x + 7);
                }
            }
        }
        (sums[0], sums[1]) = (a0, a1);
        if (TTokens.Count > 1)
            (sums[2], sums[3]) = (b0, b1);
        if (TTokens.Count > 2)
            (sums[4], sums[5]) = (c0, c1);
        if (TTokens.Count > 3)
            (sums[6], sums[7]) = (d0, d1);
        if (TTokens.Count > 4)
            (sums[8], sums[9]) = (e0, e1);
        if (TTokens.Count > 5)
            (sums[10], sums[11]) = (f0, f1);
        if (TTokens.Count > 6)
            (sums[12], sums[13]) = (g0, g1);
        if (TTokens.Count > 7)
            (sums[14], sums[15]) = (h0, h1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(ref T sums0, ref T sums1, T trits0, T trits1, float* x)
    {
        T activation = T.Broadcast(*x);
        sums0 = T.AddFloats(sums0, trits0, activation);
        sums1 = T.AddFloats(sums1, trits1, activation);
    }
}
