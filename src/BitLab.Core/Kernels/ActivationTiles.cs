namespace BitLab.Core;

/// <summary>Lays activations out in the tiles of <see cref="TernaryProduct"/>, quantizing them on the way where the config
/// says so.</summary>
internal static unsafe class ActivationTiles
{
    // Below this, starting a thread takes longer than it saves.
    private const int ValuesPerThread = 1 << 15;

    /// <summary>How many tiles some tokens take.</summary>
    public static int Count(int tokens) => (tokens + TernaryProduct.TileTokens - 1) / TernaryProduct.TileTokens;

    /// <summary>Into how many parts it is worth cutting the filling of all tiles.</summary>
    public static int Parts(int tokens, int paddedColumns) =>
        (int)Math.Clamp((long)tokens * paddedColumns / ValuesPerThread, 1, Count(tokens));

    /// <summary>Int8 tiles, with each token's scale and sum.</summary>
    /// <param name="x">(tokens, columns).</param>
    /// <param name="tokens">Tokens.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="padded">PaddedColumns.</param>
    /// <param name="tensorRange">The range of the whole tensor, or null: each token has its own.</param>
    /// <param name="firstTile">The first tile to fill.</param>
    /// <param name="endTile">The one behind the last to fill.</param>
    /// <param name="row">Scratch for one token: PaddedColumns bytes.</param>
    /// <param name="tiles">Filled: tokens · PaddedColumns bytes.</param>
    /// <param name="scales">Filled: a scale a token.</param>
    /// <param name="sums">Filled: a sum a token.</param>
    public static void FillInt8(
        float* x, int tokens, int columns, int padded, float? tensorRange, int firstTile, int endTile,
        sbyte* row, sbyte* tiles, float* scales, int* sums)
    {
        for (int tileIndex = firstTile; tileIndex < endTile; tileIndex++)
        {
            int first = tileIndex * TernaryProduct.TileTokens;
            int tileTokens = Math.Min(TernaryProduct.TileTokens, tokens - first);
            sbyte* tile = tiles + ((long)first * padded);
            for (int i = 0; i < tileTokens; i++)
            {
                int token = first + i;
                var values = new ReadOnlySpan<float>(x + ((long)token * columns), columns);
                float range = tensorRange ?? Absmax.Range(values);
                // A tile of one token is that token's row as it is.
                sbyte* target = tileTokens == 1 ? tile : row;
                sums[token] = Absmax.Quantize(values, range, new Span<sbyte>(target, columns));
                scales[token] = range / 127f;
                new Span<sbyte>(target + columns, padded - columns).Clear();
                if (tileTokens > 1)
                    Scatter((int*)row, (int*)tile + i, padded / 4, tileTokens);
            }
        }
    }

    /// <summary>Float32 tiles.</summary>
    /// <param name="x">(tokens, columns).</param>
    /// <param name="tokens">Tokens.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="padded">PaddedColumns.</param>
    /// <param name="firstTile">The first tile to fill.</param>
    /// <param name="endTile">The one behind the last to fill.</param>
    /// <param name="tiles">Filled: tokens · PaddedColumns floats.</param>
    public static void FillFloat32(float* x, int tokens, int columns, int padded, int firstTile, int endTile, float* tiles)
    {
        for (int tileIndex = firstTile; tileIndex < endTile; tileIndex++)
        {
            int first = tileIndex * TernaryProduct.TileTokens;
            int tileTokens = Math.Min(TernaryProduct.TileTokens, tokens - first);
            float* tile = tiles + ((long)first * padded);
            for (int i = 0; i < tileTokens; i++)
                Scatter((int*)(x + ((long)(first + i) * columns)), (int*)tile + i, columns, tileTokens);
            new Span<float>(tile + ((long)columns * tileTokens), (padded - columns) * tileTokens).Clear();
        }
    }

    private static void Scatter(int* source, int* target, int count, int stride)
    {
        for (int i = 0; i < count; i++)
            target[(long)i * stride] = source[i];
    }
}
