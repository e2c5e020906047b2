using BitLab.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Analysis;

/// <summary>A float layer and what it would be as a ternary one, which has its own copy of the parameters. A probe behind the
/// float layer lets the one watch or take the place of the other.</summary>
internal sealed class TernaryTwin : IDisposable
{
    private const string BiasKey = nameof(BitLinear.bias);

    private readonly LayerProbe probe;

    /// <exception cref="Core.QuantizationException">A weight is NaN or infinite.</exception>
    public TernaryTwin(string path, nn.Module<Tensor, Tensor> layer, ConversionOptions options)
    {
        Path = path;
        Float = layer;
        Weight = layer.get_parameter(nameof(BitLinear.weight))!;
        Bias = layer.get_parameter(BiasKey);
        using (DisposeScope scope = NewDisposeScope())
        {
            Ternary = Conversion.LayerFor(layer, Copy(Weight)!, Copy(Bias), options);
        }
        if (path.Length > 0)
            Ternary.LayerName = path;
        try
        {
            Ternary.eval();
            probe = new LayerProbe(layer);
        }
        catch
        {
            Ternary.Dispose();
            throw;
        }
    }

    public string Path { get; }

    public nn.Module<Tensor, Tensor> Float { get; }

    public BitLayerBase Ternary { get; }

    /// <summary>The float layer's.</summary>
    public Parameter Weight { get; }

    /// <summary>The float layer's, or null.</summary>
    public Parameter? Bias { get; }

    /// <summary>The ternary layer's, or null.</summary>
    public Parameter? TernaryBias => Ternary.get_parameter(BiasKey);

    /// <summary>What happens at each call of the float layer: null (nothing), or as <see cref="LayerProbe.OnCall"/>.</summary>
    public Func<Tensor, Tensor, Tensor?>? OnCall
    {
        get => probe.OnCall;
        set => probe.OnCall = value;
    }

    /// <summary>Whether the ternary layer answers from now on.</summary>
    public void Answer(bool isTernary)
    {
        OnCall = isTernary ? InsteadOf : null;

        Tensor InsteadOf(Tensor input, Tensor output)
        {
            output.Dispose();
            return Ternary.forward(input);
        }
    }

    public void StopProbing() => probe.Dispose();

    public void Dispose()
    {
        StopProbing();
        Ternary.Dispose();
    }

    private static Parameter? Copy(Parameter? parameter) => parameter is null ? null : new Parameter(parameter.detach().clone());
}
