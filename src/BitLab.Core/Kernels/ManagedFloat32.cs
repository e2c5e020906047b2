using System.Runtime.CompilerServices;

namespace BitLab.Core;

/// <summary>Float32 activations by the packed weights.</summary>
/// <remarks>Each output is summed in the order of the columns, so only other outputs can fill the time that an addition
/// takes.</remarks>
/// <typeparam name="T">The registers.</typeparam>
internal readonly unsafe struct ManagedFloat32<T> : IManagedProduct<T>
    where T : unmanaged, ILanes<T>
{
    public static int StepElements => PanelLayout.StepColumns;

    // 4 KB of trits in registers of 256 bits.
    public static int DecodedSteps => 4;

    // Where a tile has eight tokens for what it decodes, the two pipes that multiply are busy in any case.
    public static int PackedTokens => T.MaxTokens >= TernaryProduct.TileTokens ? int.MaxValue : TernaryProduct.TileTokens;

    public static void Multiply(in TernaryProduct product, int firstPanel, int endPanel)
    {
        if (product.Tokens > 1)
        {
            ManagedTiles<T, ManagedFloat32<T>>.Multiply(product, (int*)product.Float32, firstPanel, endPanel);
            return;
        }
        // Two pairs of registers side by side, of one panel or of two.
        T* sums = stackalloc T[4];
        int pairs = PanelLayout.PanelRows / (2 * T.Rows);
        int steps = product.PaddedColumns / PanelLayout.StepColumns;
        for (int pair = firstPanel * pairs; pair < endPanel * pairs; pair += 2)
        {
            int other = Math.Min(pair + 1, (endPanel * pairs) - 1);
            OneToken(Words(product, pair), Words(product, other), steps, product.Float32, sums);
            Store(new ManagedTarget<T>(product, pair * 2 * T.Rows), 0, sums);
            if (other > pair)
                Store(new ManagedTarget<T>(product, other * 2 * T.Rows), 0, sums + 2);
        }
    }

    public static void Store(in ManagedTarget<T> target, int token, T* sums) => target.StoreFloats(token, sums[0], sums[1]);

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Decode(byte* words, int steps, T* decoded)
    {
        for (; steps > 0; steps--, words += PanelLayout.StepBytes)
        {
            T.Prefetch(words);
            T words0 = T.Load(words), words1 = T.Load(words + sizeof(T));
            for (int field = 0; field < 4; field++, decoded += 8)
            {
                decoded[0] = T.Trits(words0);
                decoded[1] = T.Trits(words1);
                decoded[2] = T.Trits(T.ShiftRight(words0, 8));
                decoded[3] = T.Trits(T.ShiftRight(words1, 8));
                decoded[4] = T.Trits(T.ShiftRight(words0, 16));
                decoded[5] = T.Trits(T.ShiftRight(words1, 16));
                decoded[6] = T.Trits(T.ShiftRight(words0, 24));
                decoded[7] = T.Trits(T.ShiftRight(words1, 24));
                words0 = T.ShiftRight(words0, 2);
                words1 = T.ShiftRight(words1, 2);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Add<TSource, TTokens>(byte* source, int steps, int* x, int stride, T* sums)
        where TTokens : IManagedTokens
    {
        T a0 = T.Zero, a1 = T.Zero, b0 = T.Zero, b1 = T.Zero, c0 = T.Zero, c1 = T.Zero, d0 = T.Zero, d1 = T.Zero;
        T e0 = T.Zero, e1 = T.Zero, f0 = T.Zero, f1 = T.Zero, g0 = T.Zero, g1 = T.Zero, h0 = T.Zero, h1 = T.Zero;
        (a0, a1) = (sums[0], sums[1]);
        if (TTokens.Count > 1)
            (b0, b1) = (sums[2], sums[3]);
        if (TTokens.Count > 2)
            (c0, c1) = (sums[4], sums[5]);
        if (TTokens.Count > 3)
            (d0, d1) = (sums[6], sums[7]);
        if (TTokens.Count > 4)
            (e0, e1) = (sums[8], sums[9]);
        if (TTokens.Count > 5)
            (f0, f1) = (sums[10], sums[11]);
        if (TTokens.Count > 6)
            (g0, g1) = (sums[12], sums[13]);
        if (TTokens.Count > 7)
            (h0, h1) = (sums[14], sums[15]);
        T words0 = T.Zero, words1 = T.Zero, bytes0 = T.Zero, bytes1 = T.Zero;
        for (int column = 0; column < PanelLayout.StepColumns * steps; column++, x += stride)
        {
            T trits0, trits1;
            if (typeof(TSource) == typeof(ManagedDecoded))
            {
                trits0 = T.Load(source);
                trits1 = T.Load(source + sizeof(T));
                source += 2 * sizeof(T);
            }
            else
            {
                if (column % PanelLayout.StepColumns == 0)
                {
                    T.Prefetch(source);
                    words0 = T.Load(source);
                    words1 = T.Load(source + sizeof(T));
                    source += PanelLayout.StepBytes;
                }
                if (column % 4 == 0)
                {
                    bytes0 = words0;
                    bytes1 = words1;
                    words0 = T.ShiftRight(words0, 2);
                    words1 = T.ShiftRight(words1, 2);
                }
                trits0 = T.Trits(bytes0);
                trits1 = T.Trits(bytes1);
                bytes0 = T.ShiftRight(bytes0, 8);
                bytes1 = T.ShiftRight(bytes1, 8);
            }
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
    private static void Add(ref T sums0, ref T sums1, T trits0, T trits1, int* x)
    {
        T activation = T.Broadcast(*x);
        sums0 = T.AddFloats(sums0, trits0, activation);
        sums1 = T.AddFloats(sums1, trits1, activation);
    }

    // The words of a pair of registers: pairs are numbered through all panels.
    private static byte* Words(in TernaryProduct product, int pair)
    {
        int row = pair * 2 * T.Rows;
        return product.Weights + (row / PanelLayout.PanelRows * product.PanelBytes)
            + (row % PanelLayout.PanelRows * sizeof(uint));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void OneToken(byte* words, byte* otherWords, int steps, float* x, T* sums)
    {
        T a = T.Zero, b = T.Zero, c = T.Zero, d = T.Zero;
        for (; steps > 0; steps--, words += PanelLayout.StepBytes, otherWords += PanelLayout.StepBytes)
        {
            T.Prefetch(words);
            T.Prefetch(otherWords);
            T wordsA = T.Load(words), wordsB = T.Load(words + sizeof(T));
            T wordsC = T.Load(otherWords), wordsD = T.Load(otherWords + sizeof(T));
            for (int field = 0; field < 4; field++, x += 4)
            {
                AddFour(ref a, wordsA, x);
                AddFour(ref b, wordsB, x);
                AddFour(ref c, wordsC, x);
                AddFour(ref d, wordsD, x);
                wordsA = T.ShiftRight(wordsA, 2);
                wordsB = T.ShiftRight(wordsB, 2);
                wordsC = T.ShiftRight(wordsC, 2);
                wordsD = T.ShiftRight(wordsD, 2);
            }
        }
        sums[0] = a;
        sums[1] = b;
        sums[2] = c;
        sums[3] = d;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddFour(ref T sums, T words, float* x)
    {
        sums = T.AddFloats(sums, T.Trits(words), T.Broadcast(x[0]));
        sums = T.AddFloats(sums, T.Trits(T.ShiftRight(words, 8)), T.Broadcast(x[1]));
        sums = T.AddFloats(sums, T.Trits(T.ShiftRight(words, 16)), T.Broadcast(x[2]));
        sums = T.AddFloats(sums, T.Trits(T.ShiftRight(words, 24)), T.Broadcast(x[3]));
    }
}
