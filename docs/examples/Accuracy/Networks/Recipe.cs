using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace Accuracy.Networks;

/// <summary>Which layers a network is built of. All layers are ternary where any is, but the last one and a first convolution;
/// all begin alike: weights of Glorot and Bengio, biases 0.</summary>
internal sealed record Recipe(bool IsNormalized, bool IsTernary)
{
    /// <summary>The layers of a model that is trained from scratch.</summary>
    public static Recipe Of(ModelKind model) => new(model != ModelKind.Float, model == ModelKind.Ternary);

    public nn.Module<Tensor, Tensor> Linear(long inputs, long outputs, bool hasBias = true) =>
        IsTernary ? new BitLinear(inputs, outputs, hasBias) : FloatLinear(inputs, outputs, hasBias);

    public nn.Module<Tensor, Tensor> Conv(long inputs, long outputs, long stride)
    {
        // The norm behind it has a bias.
        if (IsTernary)
            return new BitConv2d(inputs, outputs, 3, stride, padding: 1, hasBias: !IsNormalized);
        TorchSharp.Modules.Conv2d conv = nn.Conv2d(inputs, outputs, 3, stride, padding: 1, bias: !IsNormalized);
        Begin(conv.weight, conv.bias);
        return conv;
    }

    public static nn.Module<Tensor, Tensor> FloatLinear(long inputs, long outputs, bool hasBias = true)
    {
        TorchSharp.Modules.Linear linear = nn.Linear(inputs, outputs, hasBias);
        Begin(linear.weight, linear.bias);
        return linear;
    }

    private static void Begin(Tensor weight, Tensor? bias)
    {
        nn.init.xavier_uniform_(weight);
        if (bias is not null)
            nn.init.zeros_(bias);
    }
}
