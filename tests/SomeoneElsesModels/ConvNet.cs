using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SomeoneElsesModels;

/// <summary>A small network for images, its layers in fields as TorchSharp's examples have them.</summary>
public sealed class ConvNet : Module<Tensor, Tensor>
{
    private readonly Module<Tensor, Tensor> conv1 = Conv2d(2, 6, 3, stride: 2, padding: 1);
    private readonly Module<Tensor, Tensor> conv2 = Conv2d(6, 8, 3, dilation: 2, groups: 2, bias: false);
    private readonly Conv2d exact = Conv2d(8, 8, 1);
    private readonly Module<Tensor, Tensor> over = Sequential(Conv1d(8, 4, 3, padding: 1), ReLU());
    private readonly Module<Tensor, Tensor> head = Linear(4, 5);

    public ConvNet()
        : base(nameof(ConvNet)) => RegisterComponents();

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        x = functional.relu(conv1.call(x));
        x = exact.call(functional.relu(conv2.call(x)));
        x = over.call(x.flatten(2));
        return head.call(x.mean([2L])).MoveToOuterDisposeScope();
    }
}
