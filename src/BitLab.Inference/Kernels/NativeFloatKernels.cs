using System.Diagnostics;
using BitLab.Core;

namespace BitLab.Inference;

/// <summary>The float kernels of the native library, those of one of its kernels for ternary products.</summary>
internal sealed unsafe class NativeFloatKernels(int id) : IFloatKernels
{
    public void Normalize(float* x, float* weight, float epsilon, int columns, float* y) =>
        Check(NativeMethods.bitlab_normalize(id, x, weight, epsilon, columns, y));

    public void Rotate(float* heads, int count, int headDim, float* cosines, float* sines) =>
        Check(NativeMethods.bitlab_rotate(id, heads, count, headDim, cosines, sines));

    public void GateSquaredRelu(float* gate, float* up, int count) => Check(NativeMethods.bitlab_gate(id, 0, gate, up, count));

    public void GateSilu(float* gate, float* up, int count) => Check(NativeMethods.bitlab_gate(id, 1, gate, up, count));

    public void Attend(in AttentionTask task) => Check(NativeMethods.bitlab_attend(
        id, task.Tokens, task.FirstPosition, task.Group, task.HeadDim, task.ValueStride, (int)task.Type, task.Scale,
        task.Queries, task.QueryStride, task.Keys, task.Values, task.Scores, task.ScoreStride, task.Output, task.OutputStride));

    public void Multiply(in DenseProduct product, int firstRow, int endRow) => Check(NativeMethods.bitlab_multiply_dense(
        id, product.Tokens, product.Columns, (int)product.Type, product.Weights, product.X, product.Y, product.OutputStride,
        firstRow, endRow));

    private static void Check(int status)
    {
        if (status != 0)
            throw new UnreachableException($"A native float kernel refused arguments that were checked: status {status}.");
    }
}
