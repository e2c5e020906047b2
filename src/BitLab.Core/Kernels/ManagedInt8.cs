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

    // Tokens for which a chunk of codes is decoded once; their sums lie on the stack.
    // Up to so many tokens, decoding anew for each tile costs less than writing the codes down.
    private const int PackedTokens = 2 * TernaryProduct.TileTokens;

    private const int GroupTokens = 8 * TernaryProduct.TileTokens;

    public static void Multiply(in TernaryProduct product, int firstPanel, int endPanel)
    {
        if (product.Tokens == 1)
        {
            for (int panel = firstPanel; panel < endPanel; panel++)
                OneToken(product, product.Weights + (panel * product.PanelBytes), panel * PanelLayout.PanelRows);
            return;
        }
        for (int first = 0; first < product.Tokens; first += GroupTokens)
        {
            for (int panel = firstPanel; panel < endPanel; panel++)
            {
                byte* weights = product.Weights + (panel * product.PanelBytes);
                for (int row = 0; row < PanelLayout.PanelRows; row += 2 * T.Rows)
                {
                    var target = new ManagedTarget<T>(product, (panel * PanelLayout.PanelRows) + row);
                    byte* words = weights + (row * sizeof(uint));
                    if (product.Tokens - first <= PackedTokens)
                        Group<Packed>(product, words, first, target);
                    else
                        Group<Decoded>(product, words, first, target);
                }
            }
        }
    }

    [SkipLocalsInit]
    private static void Group<TCodes>(in TernaryProduct product, byte* words, int first, in ManagedTarget<T> target)
    {
        int steps = product.PaddedColumns / PanelLayout.StepColumns;
        int tokens = Math.Min(GroupTokens, product.Tokens - first);
        byte* memory = stackalloc byte[(2 * GroupTokens + 2 * 4 * TileSteps + 1) * sizeof(T)];
        T* sums = (T*)(((nuint)memory + (nuint)sizeof(T) - 1) & ~((nuint)sizeof(T) - 1));
        T* codes = sums + (2 * GroupTokens);
        for (int i = 0; i < 2 * tokens; i++)
            sums[i] = T.Zero;
        for (int step = 0; step < steps; step += TileSteps)
        {
            int count = Math.Min(TileSteps, steps - step);
            byte* source = words + ((long)step * PanelLayout.StepBytes);
            if (typeof(TCodes) == typeof(Decoded))
            {
                Decode(source, count, codes);
                source = (byte*)codes;
            }
            for (int tile = 0; tile < tokens; tile += TernaryProduct.TileTokens)
            {
                int stride = Math.Min(TernaryProduct.TileTokens, tokens - tile);
                sbyte* x = product.Int8 + ((long)(first + tile) * product.PaddedColumns)
                    + ((long)step * PanelLayout.StepColumns * stride);
                for (int token = 0; token < stride; token += T.MaxTokens)
                    Tile<TCodes>(Math.Min(T.MaxTokens, stride - token), source, count, (int*)x + token, stride, sums + (2 * (tile + token)));
            }
        }
        for (int token = 0; token < tokens; token++)
            target.StoreInts(first + token, sums[2 * token], sums[(2 * token) + 1]);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Decode(byte* words, int steps, T* codes)
    {
        T mask = T.Broadcast(0x03030303);
        for (; steps > 0; steps--, words += PanelLayout.StepBytes, codes += 8)
        {
            T.Prefetch(words);
            T words0 = T.Load(words), words1 = T.Load(words + sizeof(T));
            codes[0] = T.And(words0, mask);
            codes[1] = T.And(words1, mask);
            codes[2] = T.And(T.ShiftRight(words0, 2), mask);
            codes[3] = T.And(T.ShiftRight(words1, 2), mask);
            codes[4] = T.And(T.ShiftRight(words0, 4), mask);
            codes[5] = T.And(T.ShiftRight(words1, 4), mask);
            codes[6] = T.And(T.ShiftRight(words0, 6), mask);
            codes[7] = T.And(T.ShiftRight(words1, 6), mask);
        }
    }

    private static void Tile<TCodes>(int tokens, byte* source, int steps, int* x, int stride, T* sums)
    {
        switch (tokens)
        {
            case 1: Tile<TCodes, ManagedTokens.One>(source, steps, x, stride, sums); break;
            case 2: Tile<TCodes, ManagedTokens.Two>(source, steps, x, stride, sums); break;
            case 3: Tile<TCodes, ManagedTokens.Three>(source, steps, x, stride, sums); break;
            case 4: Tile<TCodes, ManagedTokens.Four>(source, steps, x, stride, sums); break;
            case 5: Tile<TCodes, ManagedTokens.Five>(source, steps, x, stride, sums); break;
            case 6: Tile<TCodes, ManagedTokens.Six>(source, steps, x, stride, sums); break;
            case 7: Tile<TCodes, ManagedTokens.Seven>(source, steps, x, stride, sums); break;
            default: Tile<TCodes, ManagedTokens.Eight>(source, steps, x, stride, sums); break;
        }
    }

    // Two registers of rows by some tokens of a tile that has `stride` of them.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Tile<TCodes, TTokens>(byte* source, int steps, int* x, int stride, T* sums)
        where TTokens : IManagedTokens
    {
        T mask = T.Broadcast(0x03030303);
        T a0 = T.Zero, a1 = T.Zero, b0 = T.Zero, b1 = T.Zero, c0 = T.Zero, c1 = T.Zero, d0 = T.Zero, d1 = T.Zero;
        T e0 = T.Zero, e1 = T.Zero, f0 = T.Zero, f1 = T.Zero, g0 = T.Zero, g1 = T.Zero, h0 = T.Zero, h1 = T.Zero;
        T words0 = T.Zero, words1 = T.Zero;
        for (int field = 0; field < 4 * steps; field++, x += stride)
        {
            T codes0, codes1;
            if (typeof(TCodes) == typeof(Decoded))
            {
                codes0 = T.Load(source);
                codes1 = T.Load(source + sizeof(T));
                source += 2 * sizeof(T);
            }
            else
            {
                if (field % 4 == 0)
                {
                    words0 = T.Load(source);
                    words1 = T.Load(source + sizeof(T));
                    source += PanelLayout.StepBytes;
                }
                codes0 = T.And(words0, mask);
                codes1 = T.And(words1, mask);
                words0 = T.ShiftRight(words0, 2);
                words1 = T.ShiftRight(words1, 2);
            }
            if (T.MaxTokens > 4)
            {
                // Products, then sums, one sum late: in this order the sums leave the two pipes that multiply alone.
                T late = Add<TTokens>(0, ref a0, ref a1, ref b0, ref b1, ref c0, ref c1, ref d0, codes0, codes1, x);
                T last = Add<TTokens>(4, ref e0, ref e1, ref f0, ref f1, ref g0, ref g1, ref h0, codes0, codes1, x);
                d1 = T.Add(d1, late);
                h1 = T.Add(h1, last);
            }
            else
            {
                Add<TTokens>(0, ref a0, ref a1, codes0, codes1, x);
                Add<TTokens>(1, ref b0, ref b1, codes0, codes1, x);
                Add<TTokens>(2, ref c0, ref c1, codes0, codes1, x);
                Add<TTokens>(3, ref d0, ref d1, codes0, codes1, x);
            }
        }
        AddPartial<TTokens>(0, sums, a0, a1, b0, b1);
        AddPartial<TTokens>(2, sums, c0, c1, d0, d1);
        AddPartial<TTokens>(4, sums, e0, e1, f0, f1);
        AddPartial<TTokens>(6, sums, g0, g1, h0, h1);
    }

    private readonly struct Packed;

    private readonly struct Decoded;

    // Four tokens, or what of them there is, but for the last sum: returns its products.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Add<TTokens>(
        int token, ref T a0, ref T a1, ref T b0, ref T b1, ref T c0, ref T c1, ref T d0, T codes0, T codes1, int* x)
        where TTokens : IManagedTokens
    {
        T pa0 = T.Zero, pa1 = T.Zero, pb0 = T.Zero, pb1 = T.Zero, pc0 = T.Zero, pc1 = T.Zero, pd0 = T.Zero, pd1 = T.Zero;
        if (token < TTokens.Count)
            (pa0, pa1) = Products(codes0, codes1, x + token);
        if (token + 1 < TTokens.Count)
            (pb0, pb1) = Products(codes0, codes1, x + token + 1);
        if (token + 2 < TTokens.Count)
            (pc0, pc1) = Products(codes0, codes1, x + token + 2);
        if (token + 3 < TTokens.Count)
            (pd0, pd1) = Products(codes0, codes1, x + token + 3);
        if (token < TTokens.Count)
        {
            a0 = T.Add(a0, pa0);
            a1 = T.Add(a1, pa1);
        }
        if (token + 1 < TTokens.Count)
        {
            b0 = T.Add(b0, pb0);
            b1 = T.Add(b1, pb1);
        }
        if (token + 2 < TTokens.Count)
        {
            c0 = T.Add(c0, pc0);
            c1 = T.Add(c1, pc1);
        }
        if (token + 3 < TTokens.Count)
            d0 = T.Add(d0, pd0);
        return pd1;
    }

    // One token, if there is one.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add<TTokens>(int token, ref T sums0, ref T sums1, T codes0, T codes1, int* x)
        where TTokens : IManagedTokens
    {
        if (token < TTokens.Count)
        {
            (T products0, T products1) = Products(codes0, codes1, x + token);
            sums0 = T.Add(sums0, products0);
            sums1 = T.Add(sums1, products1);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (T First, T Second) Products(T codes0, T codes1, int* x)
    {
        T activations = T.Broadcast(*x);
        return (T.Products(codes0, activations), T.Products(codes1, activations));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddPartial<TTokens>(int token, T* sums, T partialA0, T partialA1, T partialB0, T partialB1)
        where TTokens : IManagedTokens
    {
        if (token < TTokens.Count)
        {
            sums[2 * token] = T.AddPartial(sums[2 * token], partialA0);
            sums[(2 * token) + 1] = T.AddPartial(sums[(2 * token) + 1], partialA1);
        }
        if (token + 1 < TTokens.Count)
        {
            sums[(2 * token) + 2] = T.AddPartial(sums[(2 * token) + 2], partialB0);
            sums[(2 * token) + 3] = T.AddPartial(sums[(2 * token) + 3], partialB1);
        }
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
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
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
        T products0 = T.Products(T.And(words, low), x0), products1 = T.Products(T.And(words, high), x1);
        T products2 = T.Products(T.And(shifted, low), x2), products3 = T.Products(T.And(shifted, high), x3);
        plain = T.Add(T.Add(plain, products0), products2);
        fourfold = T.Add(T.Add(fourfold, products1), products3);
    }
}
