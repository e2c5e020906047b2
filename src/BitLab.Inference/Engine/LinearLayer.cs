using BitLab.Core;

namespace BitLab.Inference;

/// <summary>One of a transformer's linear layers: ternary, or float where the checkpoint excepts it from
/// quantization.</summary>
internal sealed class LinearLayer : IDisposable
{
    private LinearLayer(PackedTernaryWeights? ternary, DenseMatrix? dense, FloatVector? inputNorm, float inputNormEpsilon)
    {
        Ternary = ternary;
        Dense = dense;
        InputNorm = inputNorm;
        InputNormEpsilon = inputNormEpsilon;
    }

    public PackedTernaryWeights? Ternary { get; }

    public DenseMatrix? Dense { get; }

    /// <summary>Weights of a norm of the layer's own on its input, or null.</summary>
    public FloatVector? InputNorm { get; }

    public float InputNormEpsilon { get; }

    public int Rows => Ternary?.Rows ?? Dense!.Rows;

    public int Columns => Ternary?.Columns ?? Dense!.Columns;

    /// <summary>The bytes that a product by one token reads.</summary>
    public long ByteCount => Ternary?.ByteCount ?? Dense!.ByteCount;

    /// <param name="checkpoint">Where from.</param>
    /// <param name="module">The layer's name.</param>
    /// <param name="rows">Out features.</param>
    /// <param name="columns">In features.</param>
    /// <param name="quantization">How master weights become trits.</param>
    /// <param name="arena">Where to keep them, or null: where they are.</param>
    public static LinearLayer Read(BitNetCheckpoint checkpoint, string module, int rows, int columns, BitQuantConfig quantization, WeightArena? arena)
    {
        string name = module + ".weight";
        BitNetLinearKind kind = checkpoint.LinearKind(name);
        DenseMatrix? dense = kind == BitNetLinearKind.Float ? DenseMatrix.Read(checkpoint, name, rows, columns) : null;
        PackedTernaryWeights? ternary = kind switch
        {
            BitNetLinearKind.Ternary => checkpoint.ReadTernary(name),
            BitNetLinearKind.Master => PackedTernaryWeights.Pack(
                checkpoint.ReadFloats(name), rows, columns, quantization.WeightGranularity, name, quantization.WeightScale),
            _ => null,
        };
        if (arena is not null)
        {
            dense = dense is null ? null : arena.Move(dense);
            ternary = ternary is null ? null : arena.Move(ternary);
        }
        // Only ternary layers normalize.
        if (dense is not null || checkpoint.Config.Quantization is not { UseRmsNorm: true } norms)
            return new LinearLayer(ternary, dense, null, 0);
        return new LinearLayer(
            ternary, dense, new FloatVector(checkpoint.ReadFloats(module + ".rms_norm.weight")), norms.RmsNormEps);
    }

    public void Dispose()
    {
        Ternary?.Dispose();
        Dense?.Dispose();
        InputNorm?.Dispose();
    }
}
