namespace BitLab.Core;

/// <summary>The contract of <see cref="IBitKernel"/> written to be read: the definition that the fast kernels answer
/// to.</summary>
internal sealed unsafe class ReferenceKernel : IBitKernel
{
    public string Name => "reference";

    public string Isa => "scalar C#";

    public bool HasNativeBackend => false;

    public bool IsSupported => true;

    public bool Serves(BitQuantConfig config) => true;

    public void Multiply(in TernaryProduct product, int firstPanel, int endPanel)
    {
        int endOutput = Math.Min(endPanel * TernaryProduct.PanelRows, product.Outputs);
        for (int token = 0; token < product.Tokens; token++)
        {
            for (int output = firstPanel * TernaryProduct.PanelRows; output < endOutput; output++)
            {
                float scale = product.WeightScales[output * product.WeightScaleStride];
                float y = product.Int8 != null
                    ? SumOfInt8(product, token, output) * (scale * product.TokenScales[token])
                    : SumOfFloat32(product, token, output) * scale;
                if (product.Bias != null)
                    y += product.Bias[output];
                product.Output[((long)token * product.Outputs) + output] = y;
            }
        }
    }

    private static int SumOfInt8(in TernaryProduct product, int token, int output)
    {
        int sum = 0;
        for (int column = 0; column < product.PaddedColumns; column++)
            sum += product.Int8At(token, column) * product.TritAt(output, column);
        return sum;
    }

    private static float SumOfFloat32(in TernaryProduct product, int token, int output)
    {
        float sum = 0;
        for (int column = 0; column < product.PaddedColumns; column++)
            sum += product.Float32At(token, column) * product.TritAt(output, column);
        return sum;
    }
}
