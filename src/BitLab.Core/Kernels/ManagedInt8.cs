using System.Runtime.CompilerServices;

namespace BitLab.Core;

/// <summary>Int8 activations by the packed weights.</summary>
/// <remarks>Where no instruction adds four products to a 32-bit lane, products are summed in 16-bit lanes for some steps
/// and then added to 32-bit sums, which wait in memory meanwhile. A product is at most 2 · 128, and a 16-bit lane takes two
/// of them at a time: 512. The loops are compiled optimized at their first call, and never into a caller, which would
/// compete for their registers.</remarks>
/// <typeparam name="T">The registers.</typeparam>
internal readonly unsafe struct ManagedInt8<T> : IManagedProduct<T>
    where T : unmanaged, ILanes<T>
{
    // Two fields in place, worth four times their codes, a step: 8 · 2 · 4 · 512 = 32768, but only below zero: activations
    // go from -128 to 127.
    private const int OneTokenSteps = 8;

    public static int StepElements => 4;

    // Four fields of codes a step: 16 · 4 · 512 = 32768 again.
    public static int DecodedSteps => 16;

    public static int PackedTokens => 2 * TernaryProduct.TileTokens;

    public static void Multiply(in TernaryProduct product, int firstPanel, int endPanel)
    {
        if (product.Tokens > 1)
        {
            ManagedTiles<T, ManagedInt8<T>>.Multiply(product, (int*)product.Int8, firstPanel, endPanel);
            return;
        }
        for (int panel = firstPanel; panel < endPanel; panel++)
            OneToken(product, product.Weights + (panel * product.PanelBytes), panel * PanelLayout.PanelRows);
    }

    public static void Store(in ManagedTarget<T> target, int token, T* sums) => target.StoreInts(token, sums[0], sums[1]);

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Decode(byte* words, int steps, T* decoded)
    {
        T mask = T.Broadcast(0x03030303);
        for (; steps > 0; steps--, words += PanelLayout.StepBytes, decoded += 8)
        {
            T.Prefetch(words);
            T words0 = T.Load(words), words1 = T.Load(words + sizeof(T));
            decoded[0] = T.And(words0, mask);
            decoded[1] = T.And(words1, mask);
            decoded[2] = T.And(T.ShiftRight(words0, 2), mask);
            decoded[3] = T.And(T.ShiftRight(words1, 2), mask);
            decoded[4] = T.And(T.ShiftRight(words0, 4), mask);
            decoded[5] = T.And(T.ShiftRight(words1, 4), mask);
            decoded[6] = T.And(T.ShiftRight(words0, 6), mask);
            decoded[7] = T.And(T.ShiftRight(words1, 6), mask);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Add<TSource, TTokens>(byte* source, int steps, int* x, int stride, T* sums)
        where TTokens : IManagedTokens
    {
        T mask = T.Broadcast(0x03030303);
        for (; steps > 0; steps -= DecodedSteps)
        {
            T a0 = T.Zero, a1 = T.Zero, b0 = T.Zero, b1 = T.Zero, c0 = T.Zero, c1 = T.Zero, d0 = T.Zero, d1 = T.Zero;
            T e0 = T.Zero, e1 = T.Zero, f0 = T.Zero, f1 = T.Zero, g0 = T.Zero, g1 = T.Zero, h0 = T.Zero, h1 = T.Zero;
            T words0 = T.Zero, words1 = T.Zero;
            int fields = 4 * Math.Min(steps, DecodedSteps);
            for (int field = 0; field < fields; field++, x += stride)
            {
                T codes0, codes1;
                if (typeof(TSource) == typeof(ManagedDecoded))
                {
                    codes0 = T.Load(source);
                    codes1 = T.Load(source + sizeof(T));
                    source += 2 * sizeof(T);
                }
                else
                {
                    if (field % 4 == 0)
                    {
                        T.Prefetch(source);
                        words0 = T.Load(source);
                        words1 = T.Load(source + sizeof(T));
                        source += PanelLayout.StepBytes;
                    }
                    codes0 = T.And(words0, mask);
                    codes1 = T.And(words1, mask);
                    words0 = T.ShiftRight(words0, 2);
                    words1 = T.ShiftRight(words1, 2);
                }
                if (T.MaxTokens > 4 && !T.HasDotProduct)
                {
                    // Products, then sums, one sum late: in this order the sums leave the two pipes that multiply alone.
                    T late = Add<TTokens>(0, ref a0, ref a1, ref b0, ref b1, ref c0, ref c1, ref d0, codes0, codes1, x);
                    T last = Add<TTokens>(4, ref e0, ref e1, ref f0, ref f1, ref g0, ref g1, ref h0, codes0, codes1, x);
                    if (TTokens.Count > 3)
                        d1 = T.Add(d1, late);
                    if (TTokens.Count > 7)
                        h1 = T.Add(h1, last);
                }
                else
                {
                    Add<TTokens>(0, ref a0, ref a1, codes0, codes1, x);
                    Add<TTokens>(1, ref b0, ref b1, codes0, codes1, x);
                    Add<TTokens>(2, ref c0, ref c1, codes0, codes1, x);
                    Add<TTokens>(3, ref d0, ref d1, codes0, codes1, x);
                    Add<TTokens>(4, ref e0, ref e1, codes0, codes1, x);
                    Add<TTokens>(5, ref f0, ref f1, codes0, codes1, x);
                    Add<TTokens>(6, ref g0, ref g1, codes0, codes1, x);
                    Add<TTokens>(7, ref h0, ref h1, codes0, codes1, x);
                }
            }
            AddPartial<TTokens>(0, sums, a0, a1, b0, b1);
            AddPartial<TTokens>(2, sums, c0, c1, d0, d1);
            AddPartial<TTokens>(4, sums, e0, e1, f0, f1);
            AddPartial<TTokens>(6, sums, g0, g1, h0, h1);
        }
    }

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
        if (token >= TTokens.Count)
            return;
        if (T.HasDotProduct)
        {
            T activations = T.Broadcast(x[token]);
            sums0 = T.AddProducts(sums0, codes0, activations);
            sums1 = T.AddProducts(sums1, codes1, activations);
        }
        else
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
        if (T.HasDotProduct)
        {
            plain = T.AddProducts(T.AddProducts(plain, T.And(words, low), x0), T.And(shifted, low), x2);
            fourfold = T.AddProducts(T.AddProducts(fourfold, T.And(words, high), x1), T.And(shifted, high), x3);
            return;
        }
        T products0 = T.Products(T.And(words, low), x0), products1 = T.Products(T.And(words, high), x1);
        T products2 = T.Products(T.And(shifted, low), x2), products3 = T.Products(T.And(shifted, high), x3);
        plain = T.Add(T.Add(plain, products0), products2);
        fourfold = T.Add(T.Add(fourfold, products1), products3);
    }
}
