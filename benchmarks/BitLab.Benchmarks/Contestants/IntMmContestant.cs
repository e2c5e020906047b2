using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Benchmarks;

/// <summary>LibTorch's product of int8 matrices, <c>torch._int_mm</c>. It gives int32 sums: to quantize the input and to scale
/// the output is not in its time.</summary>
/// <param name="name">What tables and plots call it.</param>
/// <param name="transposed">Whether the weights lie as (N, K), as in a layer, or as (K, N). Sometimes the one is twice as
/// fast, sometimes the other.</param>
/// <param name="coldBytes">See <see cref="TorchContestant{T}"/>.</param>
internal sealed class IntMmContestant(string name, bool transposed, long coldBytes) : TorchContestant<Tensor>(name, coldBytes)
{
    // TorchSharp does not bind the operator, but a script can name it.
    private readonly jit.CompilationUnit script = jit.compile("def int_mm(x, w):\n  return torch._int_mm(x, w)\n");

    protected override Tensor Create(Shape shape) => transposed ? Random(shape.N, shape.K).t() : Random(shape.K, shape.N);

    protected override long BytesOf(Tensor weights) => weights.numel();

    protected override Tensor WeightsOf(Tensor weights) => weights.t();

    protected override Tensor Input(long tokens, long columns) => Random(tokens, columns);

    protected override Tensor Multiply(Tensor x, Tensor weights) => script.invoke<Tensor>("int_mm", x, weights);

    private static Tensor Random(long rows, long columns) => randint(-127, 128, [rows, columns], ScalarType.Int8);
}
