using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>One Linear's conversion: prepared by the constructor, carried out, undone.</summary>
internal sealed class Conversion
{
    private readonly IReadOnlyList<Slot>? holders;
    private readonly BitLinear layer;
    private readonly List<Slot> changed = [];
    private Graft? graft;
    private bool hasHooks;

    /// <param name="path">Where the Linear is.</param>
    /// <param name="linear">What to convert.</param>
    /// <param name="holders">The places that get a BitLinear instead, or null for a graft.</param>
    /// <param name="options">Into what.</param>
    /// <exception cref="BitLab.Core.QuantizationException">In eval mode, a weight is NaN or infinite.</exception>
    public Conversion(string path, Linear linear, IReadOnlyList<Slot>? holders, ConversionOptions options)
    {
        Path = path;
        Linear = linear;
        this.holders = holders;
        layer = new BitLinear(linear.weight, linear.bias, options.Config, options.SubLN);
        if (path.Length > 0)
            layer.LayerName = path;
        try
        {
            layer.train(linear.training);
        }
        catch
        {
            Release();
            throw;
        }
    }

    public string Path { get; }

    public Linear Linear { get; }

    public bool IsGraft => holders is null;

    public bool IsDeployed => layer.IsDeployed;

    public void CarryOut()
    {
        if (holders is null)
        {
            graft = new Graft(Linear, layer);
            return;
        }
        foreach (Slot holder in holders)
        {
            holder.Value = layer;
            changed.Add(holder);
        }
        // The Linear has the parameters still, for who reads them; who calls it would miss the conversion.
        TorchSharpInternals.ExchangeHooks(Linear, layer);
        hasHooks = true;
        Linear.register_forward_pre_hook((_, _) => throw new InvalidOperationException(
            $"This Linear was '{Path}' of a model in which a BitLinear has taken its place: call that one."));
    }

    /// <summary>Puts the Linear back. Nothing happens where it was not carried out, or only in part, to what was not.</summary>
    public void Undo()
    {
        if (graft is not null)
        {
            graft.Remove();
            return;
        }
        foreach (Slot holder in changed)
            holder.Value = Linear;
        if (hasHooks)
        {
            TorchSharpInternals.ExchangeHooks(Linear, layer);
            // A cast or a move may have made them others.
            TorchSharpInternals.Weight(Linear) = layer.weight;
            TorchSharpInternals.Parameters(Linear)[nameof(Linear.weight)] = layer.weight!;
            TorchSharpInternals.Bias(Linear) = layer.bias;
            if (layer.bias is not null)
                TorchSharpInternals.Parameters(Linear)[nameof(Linear.bias)] = layer.bias;
            Linear.train(layer.training);
        }
        Release();
    }

    private void Release()
    {
        layer.Rebind(null, null);
        layer.Dispose();
    }
}
