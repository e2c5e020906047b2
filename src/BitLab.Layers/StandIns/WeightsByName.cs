using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>The parameters of a native module, which are all that can be seen of it.</summary>
internal sealed class WeightsByName
{
    private readonly Dictionary<string, Tensor> weights;
    private readonly string prefix;

    public WeightsByName(nn.Module native)
        : this(native.named_parameters().ToDictionary(named => named.name, named => (Tensor)named.parameter), "")
    {
    }

    private WeightsByName(Dictionary<string, Tensor> weights, string prefix) => (this.weights, this.prefix) = (weights, prefix);

    /// <summary>A parameter, or null where the module has none of this name.</summary>
    public Tensor? this[string name] => weights.GetValueOrDefault(prefix + name);

    /// <summary>The parameters of a child.</summary>
    public WeightsByName Of(string child) => new(weights, $"{prefix}{child}.");

    /// <summary>A copy as a parameter, or null.</summary>
    public Parameter? Copy(string name) => this[name] is Tensor tensor ? nn.Parameter(tensor.detach().clone()) : null;

    /// <summary>A layer with copies of a weight and its bias.</summary>
    /// <param name="weightName">(out, in).</param>
    /// <param name="biasName">(out) or longer; there need be none.</param>
    /// <param name="first">Where the layer's part of the bias begins.</param>
    /// <param name="count">How long it is; 0: the whole.</param>
    /// <param name="cutsWeight">Whether the weight is for several layers too.</param>
    public Linear Linear(string weightName, string biasName, long first = 0, long count = 0, bool cutsWeight = false)
    {
        Tensor weight = this[weightName]!;
        Tensor? bias = this[biasName];
        using TorchSharp.DisposeScope scope = NewDisposeScope();
        using IDisposable noGradients = no_grad();
        if (cutsWeight)
            weight = weight.narrow(0, first, count);
        if (bias is not null && count > 0)
            bias = bias.narrow(0, first, count);
        Linear layer = nn.Linear(weight.size(1), weight.size(0), bias is not null, weight.device, weight.dtype);
        layer.weight!.copy_(weight);
        layer.bias?.copy_(bias!);
        layer.weight.MoveToOuterDisposeScope();
        layer.bias?.MoveToOuterDisposeScope();
        return layer;
    }

    /// <summary>A norm with copies of its weight and bias.</summary>
    public LayerNorm Norm(string name)
    {
        Tensor weight = this[$"{name}.weight"]!, bias = this[$"{name}.bias"]!;
        using TorchSharp.DisposeScope scope = NewDisposeScope();
        using IDisposable noGradients = no_grad();
        LayerNorm norm = nn.LayerNorm(weight.shape, device: weight.device, dtype: weight.dtype);
        norm.weight!.copy_(weight);
        norm.bias!.copy_(bias);
        norm.weight.MoveToOuterDisposeScope();
        norm.bias.MoveToOuterDisposeScope();
        return norm;
    }
}
