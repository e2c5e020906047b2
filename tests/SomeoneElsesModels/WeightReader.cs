using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SomeoneElsesModels;

/// <summary>Multiplies by the weights of some of its layers itself, which nobody can exchange.</summary>
public sealed class WeightReader : Module<Tensor, Tensor>
{
    private readonly Linear tied = Linear(12, 12);
    private readonly Linear inClosure = Linear(12, 12);
    private readonly Linear called = Linear(12, 12);
    private readonly Linear head = Linear(12, 4);

    public WeightReader()
        : base(nameof(WeightReader))
    {
        RegisterComponents();
        init.normal_(called.weight);
    }

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        x = Back(called.call(x));
        Func<Tensor, Tensor> multiply = y => functional.linear(y, inClosure.weight, inClosure.bias);
        return head.call(multiply(x)).MoveToOuterDisposeScope();
    }

    // The same weights again, the other way round.
    private Tensor Back(Tensor x) => functional.linear(tied.call(x), tied.weight.t());
}
