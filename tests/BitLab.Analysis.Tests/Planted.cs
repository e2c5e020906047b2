using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Analysis.Tests;

/// <summary>A network of signs, which ternary weights hold exactly, but for its middle layer: one row of large weights, whose
/// output is always negative and so never used, makes the scale so large that all other weights round to zero.</summary>
internal sealed class Planted : nn.Module<Tensor, Tensor>
{
    public const int Width = 32;

    private readonly nn.Module<Tensor, Tensor> first;

    // The field takes nothing but a Linear: a conversion grafts it.
    private readonly Linear middle;
    private readonly nn.Module<Tensor, Tensor> last;
    private readonly nn.Module<Tensor, Tensor> dropout = nn.Dropout(0.5);

    public Planted()
        : base(nameof(Planted))
    {
        var random = new Random(1);
        first = Signs(random);
        Linear large = Signs(random, hasBias: true), blind = Signs(random);
        using (no_grad())
        {
            large.weight[Width - 1] = 200;
            large.bias!.zero_()[Width - 1] = -1e6f;
            blind.weight[.., Width - 1] = 0;
        }
        (middle, last) = (large, blind);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor hidden = dropout.call(nn.functional.relu(first.call(input)));
        return last.call(nn.functional.relu(middle.call(hidden))).MoveToOuterDisposeScope();
    }

    /// <summary>Inputs, and the class that the float network gives them.</summary>
    public (Tensor Input, Tensor Target)[] Batches(int count)
    {
        using IDisposable noGradients = no_grad();
        eval();
        return [.. Enumerable.Range(0, count).Select(i =>
        {
            Tensor x = randn(64 + i, Width);
            return (x, call(x).argmax(1));
        })];
    }

    private static Linear Signs(Random random, bool hasBias = false)
    {
        Linear layer = nn.Linear(Width, Width, hasBias);
        using IDisposable noGradients = no_grad();
        using Tensor signs = tensor(Enumerable.Range(0, Width * Width).Select(_ => random.Next(2) * 2f - 1).ToArray(), Width, Width);
        layer.weight.copy_(signs);
        return layer;
    }
}
