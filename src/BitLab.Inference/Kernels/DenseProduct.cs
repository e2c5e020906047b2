namespace BitLab.Inference;

/// <summary>A float matrix by some activations: y[i, j] = Σₖ x[i, k] · w[j, k].</summary>
/// <param name="tokens">M.</param>
/// <param name="columns">K.</param>
/// <param name="type">What the weights are.</param>
/// <param name="weights">(rows, columns), row by row.</param>
/// <param name="x">(tokens, columns).</param>
/// <param name="y">(tokens, rows).</param>
/// <param name="outputStride">From one token's outputs to the next: rows.</param>
internal readonly unsafe struct DenseProduct(
    int tokens, int columns, ElementType type, byte* weights, float* x, float* y, long outputStride)
{
    public int Tokens { get; } = tokens;

    public int Columns { get; } = columns;

    public ElementType Type { get; } = type;

    public byte* Weights { get; } = weights;

    public float* X { get; } = x;

    public float* Y { get; } = y;

    public long OutputStride { get; } = outputStride;
}
