using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>One layer's conversion: prepared by the constructor, carried out, undone.</summary>
internal sealed class Conversion
{
    private readonly IReadOnlyList<Slot>? holders;
    private readonly BitLayerBase layer;
    private readonly List<Slot> changed = [];
    private Graft? graft;
    private bool hasHooks;

    /// <param name="path">Where the layer is.</param>
    /// <param name="former">What to convert: a <c>Linear</c>, <c>Conv1d</c> or <c>Conv2d</c>.</param>
    /// <param name="holders">The places that get the ternary layer instead, or null for a graft on the former layer.</param>
    /// <param name="options">Into what.</param>
    /// <exception cref="BitLab.Core.QuantizationException">In eval mode, a weight is NaN or infinite.</exception>
    public Conversion(
        string path, nn.Module<Tensor, Tensor> former, IReadOnlyList<Slot>? holders, ConversionOptions options)
    {
        Path = path;
        Former = former;
        this.holders = holders;
        layer = LayerFor(former, former.get_parameter(nameof(Linear.weight))!, former.get_parameter(nameof(Linear.bias)), options);
        if (path.Length > 0)
            layer.LayerName = path;
        try
        {
            layer.train(former.training);
        }
        catch
        {
            Release();
            throw;
        }
    }

    public string Path { get; }

    public nn.Module<Tensor, Tensor> Former { get; }

    public bool IsGraft => holders is null;

    public bool IsDeployed => layer.IsDeployed;

    /// <summary>The ternary layer for a float one, around parameters of its shape.</summary>
    public static BitLayerBase LayerFor(
        nn.Module<Tensor, Tensor> former, Parameter weight, Parameter? bias, ConversionOptions options) => former switch
    {
        Conv1d convolution => new BitConv1d(convolution, weight, bias, options.Config),
        Conv2d convolution => new BitConv2d(convolution, weight, bias, options.Config),
        Linear => new BitLinear(weight, bias, options.Config, options.SubLN),
        _ => throw new ArgumentException($"{former.GetType().Name} has no ternary twin.", nameof(former)),
    };

    public void CarryOut()
    {
        if (holders is null)
        {
            graft = new Graft(Former, layer);
            return;
        }
        foreach (Slot holder in holders)
        {
            holder.Value = layer;
            changed.Add(holder);
        }
        // The former layer has the parameters still, for who reads them; who calls it would miss the conversion.
        TorchSharpInternals.ExchangeHooks(Former, layer);
        hasHooks = true;
        Former.register_forward_pre_hook((_, _) => throw new InvalidOperationException(
            $"This {Former.GetType().Name} was '{Path}' of a model in which a {layer.GetType().Name} has taken its place: call that one."));
    }

    /// <summary>Puts the former layer back. Nothing happens where it was not carried out, or only in part, to what was not.</summary>
    public void Undo()
    {
        if (graft is not null)
        {
            graft.Remove();
            return;
        }
        foreach (Slot holder in changed)
            holder.Value = Former;
        if (hasHooks)
        {
            TorchSharpInternals.ExchangeHooks(Former, layer);
            // A cast or a move may have made them others.
            TorchSharpInternals.Rebind(Former, layer.weight, layer.Bias);
            Former.train(layer.training);
        }
        Release();
    }

    private void Release()
    {
        layer.Rebind(null, null);
        layer.Dispose();
    }
}
