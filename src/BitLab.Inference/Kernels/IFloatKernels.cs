namespace BitLab.Inference;

/// <summary>The float arithmetic between the ternary products. Single-threaded; it allocates nothing.</summary>
/// <remarks>
/// Every result is defined to the last bit, so that native and managed kernels, batches and single sequences agree: sums
/// over a row go into sixteen lanes, element i into lane i mod 16, each addition fused with its product, and the lanes are
/// added by halves (0 to 7 and 8 to 15, then 0 to 3 and 4 to 7, and so on); products by a float matrix do the same with
/// sixty-four lanes; sums over keys and values run from the first
/// up. <c>exp</c> is the polynomial of <see cref="VectorMath.Exp"/>.
/// </remarks>
internal unsafe interface IFloatKernels
{
    /// <summary>RMS norm of a row: y = (x · (1 / √(mean(x²) + epsilon))) · weight. y may be x.</summary>
    void Normalize(float* x, float* weight, float epsilon, int columns, float* y);

    /// <summary>Rotary embedding of some heads, in place: with x the lower and y the upper half of a head,
    /// x' = x · cos - y · sin and y' = y · cos + x · sin.</summary>
    void Rotate(float* heads, int count, int headDim, float* cosines, float* sines);

    /// <summary>gate = max(gate, 0)² · up.</summary>
    void GateSquaredRelu(float* gate, float* up, int count);

    /// <summary>gate = gate / (1 + exp(-gate)) · up.</summary>
    void GateSilu(float* gate, float* up, int count);

    /// <summary>Attention of some tokens' queries to one head of keys and values.</summary>
    void Attend(in AttentionTask task);

    /// <summary>Some rows of a float matrix by all tokens.</summary>
    void Multiply(in DenseProduct product, int firstRow, int endRow);
}
