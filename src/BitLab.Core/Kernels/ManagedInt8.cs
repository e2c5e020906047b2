using System.Runtime.CompilerServices;

namespace BitLab.Core;

/// <summary>The int8 half of <see cref="ManagedKernel{T}"/>.</summary>
/// <remarks>Where no instruction adds four products to a 32-bit lane, products are summed in 16-bit lanes for some steps
/// and then added to 32-bit sums, which wait in memory meanwhile. A product is at most 2 · 128, a 16-bit lane takes two
/// of them at a time: 512. The methods here are compiled once and for good: a first call waits for the compiler, but never
/// runs unoptimized.</remarks>
/// <typeparam name="T">The registers.</typeparam>
internal static unsafe class ManagedInt8<T>
    where T : unmanaged, ILanes<T>
{
    // Four fields of codes a step: 15 · 4 · 512 = 30720 in a 16-bit lane.
    private const int TileSteps = 15;

    // Two fields in place, worth four times their codes, a step: 8 · 2 · 4 · 512 = 32768, and only below zero, since
    // activations go from -128 to 127.
    private const int OneTokenSteps = 8;

    public static void Multiply(in TernaryProduct product, int firstPanel, int endPanel)
    {
        for (int panel = firstPanel; panel < endPanel; panel++)
        {
            byte* weights = product.Weights + (panel * product.PanelBytes);
            if (product.Tokens == 1)
            {
                OneToken(product, weights, panel * PanelLayout.PanelRows);
                continue;
            }
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
        int* x = (int*)(product.Int8 + ((long)first * product.PaddedColumns));
        int* memory = stackalloc int[(2 * TernaryProduct.TileTokens + 1) * T.Rows];
        T* sums = (T*)(((nuint)memory + (nuint)sizeof(T) - 1) & ~((nuint)sizeof(T) - 1));
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
                target.StoreInts(first + token + i, sums[2 * i], sums[(2 * i) + 1]);
        }
    }

    // Two registers of rows by some tokens of a tile that has `stride` of them.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile<TTokens>(byte* words, int steps, int* x, int stride, T* sums)
        where TTokens : IManagedTokens
    {
        T mask = T.Broadcast(0x03030303);
        for (int i = 0; i < 2 * TTokens.Count; i++)
            sums[i] = T.Zero;
        for (; steps > 0; steps -= TileSteps)
        {
            T a0 = T.Zero, a1 = T.Zero, b0 = T.Zero, b1 = T.Zero, c0 = T.Zero, c1 = T.Zero, d0 = T.Zero, d1 = T.Zero;
            T e0 = T.Zero, e1 = T.Zero, f0 = T.Zero, f1 = T.Zero, g0 = T.Zero, g1 = T.Zero, h0 = T.Zero, h1 = T.Zero;
            for (int step = Math.Min(steps, TileSteps); step > 0; step--, words += PanelLayout.StepBytes)
            {
                T words0 = T.Load(words), words1 = T.Load(words + sizeof(T));
                for (int field = 0; field < 4; field++, x += stride)
                {
                    T codes0 = T.And(words0, mask), codes1 = T.And(words1, mask);
                    words0 = T.ShiftRight(words0, 2);
                    words1 = T.ShiftRight(words1, 2);
                    Add(ref a0, ref a1, codes0, codes1, x);
                    if (TTokens.Count > 1)
                        Add(ref b0, ref b1, codes0, codes1, x + 1);
                    if (TTokens.Count > 2)
                        Add(ref c0, ref c1, codes0, codes1, x + 2);
                    if (TTokens.Count > 3)
                        Add(ref d0, ref d1, codes0, codes1, x + 3);
                    if (TTokens.Count > 4)
                        Add(ref e0, ref e1, codes0, codes1, x + 4);
                    if (TTokens.Count > 5)
                        Add(ref f0, ref f1, codes0, codes1, x + 5);
                    if (TTokens.Count > 6)
                        Add(ref g0, ref g1, codes0, codes1, x + 6);
                    if (TTokens.Count > 7)
                        Add(ref h0, ref h1, codes0, codes1, x + 7);
                }
            }
            AddPartial(sums, a0, a1);
            if (TTokens.Count > 1)
                AddPartial(sums + 2, b0, b1);
            if (TTokens.Count > 2)
                AddPartial(sums + 4, c0, c1);
            if (TTokens.Count > 3)
                AddPartial(sums + 6, d0, d1);
            if (TTokens.Count > 4)
                AddPartial(sums + 8, e0, e1);
            if (TTokens.Count > 5)
                AddPartial(sums + 10, f0, f1);
            if (TTokens.Count > 6)
                AddPartial(sums + 12, g0, g1);
            if (TTokens.Count > 7)
                AddPartial(sums + 14, h0, h1);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(ref T sums0, ref T sums1, T codes0, T codes1, int* x)
    {
        T activations = T.Broadcast(*x);
        sums0 = T.AddProducts(sums0, codes0, activations);
        sums1 = T.AddProducts(sums1, codes1, activations);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddPartial(T* sums, T partial0, T partial1)
    {
        sums[0] = T.AddPartial(sums[0], partial0);
        sums[1] = T.AddPartial(sums[1], partial1);
    }

    private static void OneToken(in TernaryProduct product, byte* words, int row)
    {
        int steps = product.PaddedColumns / PanelLayout.StepColumns;
        T* sums = stackalloc T[4];
        int registers = Math.Min(4, PanelLayout.PanelRows / T.Rows);
        for (int block = 0; block < PanelLayout.PanelRows; block += registers * T.Rows)
        {
            OneToken(words + (block * sizeof(uint)), steps, (int*)product.Int8, sums);
            for (int i = 0; i < registers; i += 2)
            {
                var target = new ManagedTarget<T>(product, row + block + (i * T.Rows));
                target.StoreInts(0, sums[i], sums[i + 1]);
            }
        }
    }

    // Up to four registers of rows by one token: bound by decoding. Fields 1 and 3 are masked where fields 0 and 2 have
    // been shifted to, and summed apart, worth four times their codes.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneToken(byte* words, int steps, int* x, T* sums)
    {
        T low = T.Broadcast(0x03030303), high = T.Broadcast(0x0C0C0C0C);
        T sums0 = T.Zero, sums1 = T.Zero, sums2 = T.Zero, sums3 = T.Zero;
        for (; steps > 0; steps -= OneTokenSteps)
        {
            T plain0 = T.Zero, plain1 = T.Zero, plain2 = T.Zero, plain3 = T.Zero;
            T fourfold0 = T.Zero, fourfold1 = T.Zero, fourfold2 = T.Zero, fourfold3 = T.Zero;
            for (int step = Math.Min(steps, OneTokenSteps); step > 0; step--, words += PanelLayout.StepBytes, x += 4)
            {
                T.Prefetch(words);
                T x0 = T.Broadcast(x[0]), x1 = T.Broadcast(x[1]), x2 = T.Broadcast(x[2]), x3 = T.Broadcast(x[3]);
                AddStep(words, low, high, x0, x1, x2, x3, ref plain0, ref fourfold0);
                AddStep(words + sizeof(T), low, high, x0, x1, x2, x3, ref plain1, ref fourfold1);
                if (T.Rows < PanelLayout.PanelRows / 2)
                {
                    AddStep(words + (2 * sizeof(T)), low, high, x0, x1, x2, x3, ref plain2, ref fourfold2);
                    AddStep(words + (3 * sizeof(T)), low, high, x0, x1, x2, x3, ref plain3, ref fourfold3);
                }
            }
            // 8 · 2 · 512 and as much again: 16384 in a 16-bit lane.
            sums0 = T.AddPartial(sums0, T.AddQuarter(plain0, fourfold0));
            sums1 = T.AddPartial(sums1, T.AddQuarter(plain1, fourfold1));
            if (T.Rows < PanelLayout.PanelRows / 2)
            {
                sums2 = T.AddPartial(sums2, T.AddQuarter(plain2, fourfold2));
                sums3 = T.AddPartial(sums3, T.AddQuarter(plain3, fourfold3));
            }
        }
        sums[0] = sums0;
        sums[1] = sums1;
        sums[2] = sums2;
        sums[3] = sums3;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddStep(byte* source, T low, T high, T x0, T x1, T x2, T x3, ref T plain, ref T fourfold)
    {
        T words = T.Load(source), shifted = T.ShiftRight(words, 4);
        plain = T.AddProducts(plain, T.And(words, low), x0);
        fourfold = T.AddProducts(fourfold, T.And(words, high), x1);
        plain = T.AddProducts(plain, T.And(shifted, low), x2);
        fourfold = T.AddProducts(fourfold, T.And(shifted, high), x3);
    }
}
