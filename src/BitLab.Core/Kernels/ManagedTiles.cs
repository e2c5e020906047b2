using System.Runtime.CompilerServices;

namespace BitLab.Core;

/// <summary>What int8 and float32 activations do differently in a tile. An element of the activations is four bytes: four
/// columns of int8, one of float32.</summary>
/// <typeparam name="T">The registers.</typeparam>
internal unsafe interface IManagedProduct<T>
    where T : unmanaged, ILanes<T>
{
    /// <summary>Elements of each token in a step.</summary>
    static abstract int StepElements { get; }

    /// <summary>Steps that are decoded at a time, and then summed.</summary>
    static abstract int DecodedSteps { get; }

    /// <summary>Up to so many tokens, decoding in registers, anew for each tile, costs less than writing down.</summary>
    static abstract int PackedTokens { get; }

    /// <summary>Writes down what two registers of rows hold: two registers for each element.</summary>
    static abstract void Decode(byte* words, int steps, T* decoded);

    /// <summary>Adds a chunk to the sums of some tokens: two registers of rows by the tokens of a tile that has
    /// <paramref name="stride"/> of them.</summary>
    /// <typeparam name="TSource">What <paramref name="source"/> points at.</typeparam>
    /// <typeparam name="TTokens">How many tokens.</typeparam>
    static abstract void Add<TSource, TTokens>(byte* source, int steps, int* x, int stride, T* sums)
        where TTokens : IManagedTokens;

    /// <summary>Writes the outputs of a token.</summary>
    static abstract void Store(in ManagedTarget<T> target, int token, T* sums);
}

/// <summary>The source is packed words of weights.</summary>
internal readonly struct ManagedPacked;

/// <summary>The source is what <see cref="IManagedProduct{T}.Decode"/> has written.</summary>
internal readonly struct ManagedDecoded;

/// <summary>Several tokens: the loops around the microkernels.</summary>
/// <typeparam name="T">The registers.</typeparam>
/// <typeparam name="TProduct">The kind of activations.</typeparam>
internal static unsafe class ManagedTiles<T, TProduct>
    where T : unmanaged, ILanes<T>
    where TProduct : IManagedProduct<T>
{
    // Tokens for which a chunk is decoded once. Their sums lie on the stack meanwhile, 8 KB of the first-level cache.
    private const int GroupTokens = 8 * TernaryProduct.TileTokens;

    public static void Multiply(in TernaryProduct product, int* x, int firstPanel, int endPanel)
    {
        for (int first = 0; first < product.Tokens; first += GroupTokens)
        {
            int tokens = Math.Min(GroupTokens, product.Tokens - first);
            for (int panel = firstPanel; panel < endPanel; panel++)
            {
                byte* weights = product.Weights + (panel * product.PanelBytes);
                for (int row = 0; row < PanelLayout.PanelRows; row += 2 * T.Rows)
                {
                    var target = new ManagedTarget<T>(product, (panel * PanelLayout.PanelRows) + row);
                    byte* words = weights + (row * sizeof(uint));
                    int steps = product.PaddedColumns / PanelLayout.StepColumns;
                    int* groupX = x + ((long)first * steps * TProduct.StepElements);
                    if (tokens <= TProduct.PackedTokens)
                        Group<ManagedPacked>(words, steps, groupX, first, tokens, target);
                    else
                        Group<ManagedDecoded>(words, steps, groupX, first, tokens, target);
                }
            }
        }
    }

    [SkipLocalsInit]
    private static void Group<TSource>(byte* words, int steps, int* x, int first, int tokens, in ManagedTarget<T> target)
    {
        bool isDecoded = typeof(TSource) == typeof(ManagedDecoded);
        int chunkSteps = isDecoded ? TProduct.DecodedSteps : steps;
        int decodedCount = isDecoded ? 2 * chunkSteps * TProduct.StepElements : 0;
        byte* memory = stackalloc byte[((2 * tokens) + decodedCount + 1) * sizeof(T)];
        // On a boundary of registers, so that none of them lies in two lines of the cache.
        T* sums = (T*)(((nuint)memory + (nuint)sizeof(T) - 1) & ~((nuint)sizeof(T) - 1));
        T* decoded = sums + (2 * tokens);
        for (int i = 0; i < 2 * tokens; i++)
            sums[i] = T.Zero;
        int count;
        for (int step = 0; step < steps; step += count)
        {
            count = Math.Min(chunkSteps, steps - step);
            byte* source = words + ((long)step * PanelLayout.StepBytes);
            if (isDecoded)
            {
                TProduct.Decode(source, count, decoded);
                source = (byte*)decoded;
            }
            for (int tile = 0; tile < tokens; tile += TernaryProduct.TileTokens)
            {
                int stride = Math.Min(TernaryProduct.TileTokens, tokens - tile);
                int* tileX = x + (((tile * (long)steps) + (step * stride)) * TProduct.StepElements);
                for (int token = 0; token < stride; token += T.MaxTokens)
                {
                    Add<TSource>(
                        Math.Min(T.MaxTokens, stride - token), source, count, tileX + token, stride, sums + (2 * (tile + token)));
                }
            }
        }
        for (int token = 0; token < tokens; token++)
            TProduct.Store(target, first + token, sums + (2 * token));
    }

    private static void Add<TSource>(int tokens, byte* source, int steps, int* x, int stride, T* sums)
    {
        switch (tokens)
        {
            case 1: TProduct.Add<TSource, ManagedTokens.One>(source, steps, x, stride, sums); break;
            case 2: TProduct.Add<TSource, ManagedTokens.Two>(source, steps, x, stride, sums); break;
            case 3: TProduct.Add<TSource, ManagedTokens.Three>(source, steps, x, stride, sums); break;
            case 4: TProduct.Add<TSource, ManagedTokens.Four>(source, steps, x, stride, sums); break;
            case 5: TProduct.Add<TSource, ManagedTokens.Five>(source, steps, x, stride, sums); break;
            case 6: TProduct.Add<TSource, ManagedTokens.Six>(source, steps, x, stride, sums); break;
            case 7: TProduct.Add<TSource, ManagedTokens.Seven>(source, steps, x, stride, sums); break;
            default: TProduct.Add<TSource, ManagedTokens.Eight>(source, steps, x, stride, sums); break;
        }
    }
}
