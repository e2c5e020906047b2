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

    public static LinearLayer Read(BitNetCheckpoint checkpoint, string module, int rows, int columns)
    {
        string name = module + ".weight";
        bool isFloat = checkpoint.LinearKind(name) == BitNetLinearKind.Float;
        PackedTernaryWeights? ternary = isFloat ? null : checkpoint.ReadTernary(name);
        DenseMatrix? dense = isFloat ? DenseMatrix.Read(checkpoint, name, rows, columns) : null;
        if (checkpoint.Config.Quantization is not { UseRmsNorm: true } quantization)
            return new LinearLayer(ternary, dense, null, 0);
        return new LinearLayer(
            ternary, dense, new FloatVector(checkpoint.ReadFloats(module + ".rms_norm.weight")), quantization.RmsNormEps);
    }

    public void Dispose()
    {
        Ternary?.Dispose();
        Dense?.Dispose();
        InputNorm?.Dispose();
    }
}
