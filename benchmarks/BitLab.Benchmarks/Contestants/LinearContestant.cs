using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Benchmarks;

/// <summary>TorchSharp's own <c>nn.Linear</c>, its input of the same type.</summary>
internal sealed class LinearContestant(string name, ScalarType dtype, long coldBytes) : TorchContestant<Linear>(name, coldBytes)
{
    protected override Linear Create(Shape shape) => nn.Linear(shape.K, shape.N, hasBias: false, dtype: dtype);

    protected override long BytesOf(Linear layer) => layer.weight!.numel() * layer.weight.element_size();

    protected override Tensor WeightsOf(Linear layer) => layer.weight!;

    protected override Tensor Input(long tokens, long columns) => randn(tokens, columns).to(dtype);

    protected override Tensor Multiply(Tensor x, Linear layer) => layer.call(x);
}
