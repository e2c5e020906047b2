using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace BitLab.Core;

/// <summary>Lays activations out in the tiles of <see cref="TernaryProduct"/>, quantizing them on the way where the config
/// says so.</summary>
internal static unsafe class ActivationTiles
{
    /// <summary>Tokens that are interleaved at a time.</summary>
    public const int TogetherTokens = 4;

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
    /// <param name="rows">Scratch for <see cref="TogetherTokens"/> tokens of PaddedColumns bytes.</param>
    /// <param name="tiles">Filled: tokens · PaddedColumns bytes.</param>
    /// <param name="scales">Filled: a scale a token.</param>
    /// <param name="sums">Filled: a sum a token.</param>
    public static void FillInt8(
        float* x, int tokens, int columns, int padded, float? tensorRange, int firstTile, int endTile,
        sbyte* rows, sbyte* tiles, float* scales, int* sums)
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
                sbyte* target = tileTokens == 1 ? tile : rows + ((long)(i % TogetherTokens) * padded);
                sums[token] = Absmax.Quantize(values, range, new Span<sbyte>(target, columns));
                scales[token] = range / 127f;
                new Span<sbyte>(target + columns, padded - columns).Clear();
                int together = (i % TogetherTokens) + 1;
                if (tileTokens > 1 && (together == TogetherTokens || i == tileTokens - 1))
                    Interleave((int*)rows, padded / 4, together, (int*)tile + (i + 1 - together), tileTokens, padded / 4);
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
            for (int i = 0; i < tileTokens; i += TogetherTokens)
            {
                Interleave(
                    (int*)(x + ((long)(first + i) * columns)), columns, Math.Min(TogetherTokens, tileTokens - i),
                    (int*)tile + i, tileTokens, columns);
            }
            new Span<float>(tile + ((long)columns * tileTokens), (padded - columns) * tileTokens).Clear();
        }
    }

    /// <summary>Element e of row r goes to target[e * stride + r], for <paramref name="count"/> elements of up to
    /// <see cref="TogetherTokens"/> rows.</summary>
    internal static void Interleave(int* rows, int rowLength, int rowCount, int* target, int stride, int count)
    {
        int e = 0;
        if (rowCount == TogetherTokens && (Sse2.IsSupported || AdvSimd.Arm64.IsSupported))
        {
            for (; e + 4 <= count; e += 4)
            {
                Vector128<int> a = Vector128.Load(rows + e), b = Vector128.Load(rows + rowLength + e);
                Vector128<int> c = Vector128.Load(rows + (2 * rowLength) + e), d = Vector128.Load(rows + (3 * rowLength) + e);
                Vector128<long> ab0 = Low(a, b).AsInt64(), ab1 = High(a, b).AsInt64();
                Vector128<long> cd0 = Low(c, d).AsInt64(), cd1 = High(c, d).AsInt64();
                Low(ab0, cd0).AsInt32().Store(target);
                High(ab0, cd0).AsInt32().Store(target + stride);
                Low(ab1, cd1).AsInt32().Store(target + (2 * stride));
                High(ab1, cd1).AsInt32().Store(target + (3 * stride));
                target += 4 * stride;
            }
        }
        for (; e < count; e++, target += stride)
        {
            for (int row = 0; row < rowCount; row++)
                target[row] = rows[((long)row * rowLength) + e];
        }
    }

    // The lower halves of two vectors, element by element in turn; then the upper ones.
    private static Vector128<int> Low(Vector128<int> a, Vector128<int> b) =>
        Sse2.IsSupported ? Sse2.UnpackLow(a, b) : AdvSimd.Arm64.ZipLow(a, b);

    private static Vector128<int> High(Vector128<int> a, Vector128<int> b) =>
        Sse2.IsSupported ? Sse2.UnpackHigh(a, b) : AdvSimd.Arm64.ZipHigh(a, b);

    private static Vector128<long> Low(Vector128<long> a, Vector128<long> b) =>
        Sse2.IsSupported ? Sse2.UnpackLow(a, b) : AdvSimd.Arm64.ZipLow(a, b);

    private static Vector128<long> High(Vector128<long> a, Vector128<long> b) =>
        Sse2.IsSupported ? Sse2.UnpackHigh(a, b) : AdvSimd.Arm64.ZipHigh(a, b);
}
