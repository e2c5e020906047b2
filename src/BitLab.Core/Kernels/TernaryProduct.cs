namespace BitLab.Core;

/// <summary>One multiplication, as a kernel sees it: plain pointers into memory that lives until the kernel
/// returns.</summary>
/// <remarks>
/// The activations lie in tiles of <see cref="TileTokens"/> tokens, the last tile having what is left. Within a tile of t
/// tokens, int8: four columns of token 0, the same four of token 1, …, of token t - 1, then the next four columns; float32:
/// the same with one column instead of four. Columns beyond K are zeros up to a multiple of 16.
/// </remarks>
public readonly unsafe struct TernaryProduct
{
    /// <summary>Tokens in a full tile of activations.</summary>
    public const int TileTokens = 8;

    /// <summary>Rows of weights, that is outputs, in a panel.</summary>
    public const int PanelRows = PanelLayout.PanelRows;

    /// <summary>Creates the description.</summary>
    /// <param name="tokens">M.</param>
    /// <param name="weights">The weights, rented as long as this is used.</param>
    /// <param name="int8">Tiles of int8 activations, or null.</param>
    /// <param name="float32">Tiles of float32 activations, or null.</param>
    /// <param name="tokenScales">For int8: a scale for each token.</param>
    /// <param name="tokenSums">For int8: the sum of each token's values.</param>
    /// <param name="bias">(outputs), or null.</param>
    /// <param name="output">(tokens, outputs), row by row.</param>
    internal TernaryProduct(
        int tokens,
        PackedTernaryWeights weights,
        sbyte* int8,
        float* float32,
        float* tokenScales,
        int* tokenSums,
        float* bias,
        float* output)
    {
        Tokens = tokens;
        Outputs = weights.Rows;
        Packing = weights.Packing;
        PaddedColumns = PanelLayout.PaddedColumns(weights.Columns, Packing);
        Weights = weights.RentedData;
        WeightScales = weights.RentedScalePointer;
        WeightScaleStride = weights.Granularity == Granularity.PerTensor ? 0 : 1;
        Int8 = int8;
        Float32 = float32;
        TokenScales = tokenScales;
        TokenSums = tokenSums;
        Bias = bias;
        Output = output;
    }

    /// <summary>M, the rows of activations.</summary>
    public int Tokens { get; }

    /// <summary>N, the rows of weights.</summary>
    public int Outputs { get; init; }

    /// <summary>K rounded up to a multiple of 16, for the dense form of 80.</summary>
    public int PaddedColumns { get; }

    /// <summary>How the trits are held: <see cref="WeightPacking.TwoBit"/>, unless the kernel says that it reads
    /// another.</summary>
    public WeightPacking Packing { get; init; }

    /// <summary>The packed trits, panel by panel (docs/packed-layout.md).</summary>
    public byte* Weights { get; init; }

    /// <summary>The scale of output j is at <c>WeightScales[j * WeightScaleStride]</c>.</summary>
    public float* WeightScales { get; init; }

    /// <summary>0: one scale for all outputs; 1: one each.</summary>
    public int WeightScaleStride { get; }

    /// <summary>Tiles of int8 activations, or null where they are float32.</summary>
    public sbyte* Int8 { get; }

    /// <summary>Tiles of float32 activations, or null where they are int8.</summary>
    public float* Float32 { get; }

    /// <summary>With int8 activations, the scale of each token.</summary>
    public float* TokenScales { get; }

    /// <summary>With int8 activations, the sum of each token's values: Σ x · trit = Σ x · code - Σ x.</summary>
    public int* TokenSums { get; }

    /// <summary>A bias for each output, or null.</summary>
    public float* Bias { get; init; }

    /// <summary>Where y[i, j] goes: <c>Output[i * Outputs + j]</c>.</summary>
    public float* Output { get; }

    /// <summary>The bytes of one panel of weights.</summary>
    public long PanelBytes => PanelLayout.PanelBytes(PaddedColumns, Packing);

    /// <summary>A value of the int8 activations.</summary>
    /// <param name="token">The token, 0 to Tokens - 1.</param>
    /// <param name="column">The column, 0 to PaddedColumns - 1.</param>
    /// <returns>The value.</returns>
    public sbyte Int8At(int token, int column)
    {
        (int firstToken, int tileTokens) = TileOf(token);
        long four = ((long)(column / 4) * tileTokens) + (token - firstToken);
        return Int8[((long)firstToken * PaddedColumns) + (four * 4) + (column % 4)];
    }

    /// <summary>A value of the float32 activations.</summary>
    /// <param name="token">The token, 0 to Tokens - 1.</param>
    /// <param name="column">The column, 0 to PaddedColumns - 1.</param>
    /// <returns>The value.</returns>
    public float Float32At(int token, int column)
    {
        (int firstToken, int tileTokens) = TileOf(token);
        return Float32[((long)firstToken * PaddedColumns) + ((long)column * tileTokens) + (token - firstToken)];
    }

    /// <summary>A weight, of the 2-bit form.</summary>
    /// <param name="output">The row of weights, 0 to 32 · panels - 1.</param>
    /// <param name="column">The column, 0 to PaddedColumns - 1.</param>
    /// <returns>-1, 0 or 1; 0 in the padding.</returns>
    public int TritAt(int output, int column)
    {
        byte* word = Weights + PanelLayout.RowOffset(output, PaddedColumns)
            + ((long)(column / PanelLayout.StepColumns) * PanelLayout.StepBytes);
        int inStep = column % PanelLayout.StepColumns;
        return ((word[inStep % 4] >> (2 * (inStep / 4))) & 3) - 1;
    }

    /// <summary>The same product with one panel's weights in the 2-bit form, at another place.</summary>
    internal TernaryProduct WithExpanded(int panel, byte* twoBit)
    {
        // A kernel finds the panel by its number, so the first would lie that many panels before it.
        long before = panel * PanelLayout.PanelBytes(PaddedColumns, WeightPacking.TwoBit);
        return this with { Packing = WeightPacking.TwoBit, Weights = twoBit - before };
    }

    /// <summary>The product by the rows of some panels alone; its first panel is <paramref name="firstPanel"/>.</summary>
    internal TernaryProduct OfPanels(int firstPanel, int endPanel)
    {
        int firstRow = firstPanel * PanelRows;
        return this with
        {
            Outputs = Math.Min(endPanel * PanelRows, Outputs) - firstRow,
            Weights = Weights + (firstPanel * PanelBytes),
            WeightScales = WeightScales + (firstRow * WeightScaleStride),
            Bias = Bias == null ? null : Bias + firstRow,
        };
    }

    private (int First, int Tokens) TileOf(int token)
    {
        int first = token - (token % TileTokens);
        return (first, Math.Min(TileTokens, Tokens - first));
    }
}
