using BitLab.Core;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>What BitLab adds to any TorchSharp module that has ternary layers in it.</summary>
public static class BitModules
{
    /// <summary>Deploys every ternary layer of a module (<see cref="BitLayerBase.Deploy"/>) and puts the module into eval
    /// mode.</summary>
    /// <param name="module">Any module.</param>
    /// <param name="packing">How the trits are held from now on; null: at 2 bits, or as they are in layers that are deployed
    /// already.</param>
    /// <exception cref="QuantizationException">A latent weight is NaN or infinite. The error names the layer by its path;
    /// no layer is deployed then.</exception>
    public static void Deploy(this nn.Module module, WeightPacking? packing = null)
    {
        ArgumentNullException.ThrowIfNull(module);
        NameLayers(module);
        // Eval packs every layer, so what cannot be packed shows before the first weight is freed.
        module.eval();
        foreach ((_, BitLayerBase layer) in NamedLayers(module))
            layer.Deploy(packing);
    }

    /// <summary>Loads a state dict into a module whose ternary layers may be in another state than those that it was taken
    /// from: layers that it has packed become deployed.</summary>
    /// <param name="module">Any module.</param>
    /// <param name="source">Tensors by key.</param>
    /// <param name="strict">Whether missing and unexpected keys are an error.</param>
    /// <returns>The keys that are missing and unexpected.</returns>
    /// <exception cref="ArgumentException">A tensor has another type or shape than the module's.</exception>
    /// <exception cref="InvalidOperationException">With <paramref name="strict"/>, keys are missing or unexpected, or a layer is
    /// deployed and the state dict has latent weights for it.</exception>
    public static (IList<string> Missing, IList<string> Unexpected) LoadStateDict(
        this nn.Module module, IReadOnlyDictionary<string, Tensor> source, bool strict = true)
    {
        ArgumentNullException.ThrowIfNull(module);
        ArgumentNullException.ThrowIfNull(source);
        // All is checked before the first layer is changed.
        (string Prefix, BitLayerBase Layer)[] layers =
            [.. NamedLayers(module).Select(named => (named.Path.Length == 0 ? "" : named.Path + ".", named.Layer))];
        Dictionary<string, Tensor> target = module.state_dict();
        foreach ((string prefix, BitLayerBase layer) in layers)
        {
            if (layer.PackingToLoad(source, prefix) is null)
                continue;
            target.Remove(prefix + BitLayerBase.WeightKey);
            target[prefix + BitLayerBase.PackedKey] = source[prefix + BitLayerBase.PackedKey];
            target[prefix + BitLayerBase.ScaleKey] = source[prefix + BitLayerBase.ScaleKey];
        }
        string[] missing = [.. target.Keys.Except(source.Keys)], unexpected = [.. source.Keys.Except(target.Keys)];
        if (strict && (missing.Length > 0 || unexpected.Length > 0))
        {
            throw new InvalidOperationException(
                $"The state dict does not fit. Missing: {Names(missing)}. Unexpected: {Names(unexpected)}.");
        }
        foreach ((string key, Tensor value) in target)
        {
            if (source.TryGetValue(key, out Tensor? loaded) && !loaded.shape.SequenceEqual(value.shape))
            {
                throw new ArgumentException(
                    $"'{key}' is ({string.Join(", ", loaded.shape)}) in the state dict and ({string.Join(", ", value.shape)}) here.");
            }
        }

        foreach ((string prefix, BitLayerBase layer) in layers)
            layer.PrepareToLoad(source, prefix);
        using (no_grad())
        {
            foreach ((string key, Tensor value) in module.state_dict())
            {
                if (source.TryGetValue(key, out Tensor? loaded))
                    value.copy_(loaded);
            }
        }
        return (missing, unexpected);

        static string Names(string[] keys) => keys.Length == 0 ? "none" : string.Join(", ", keys);
    }

    /// <summary>Calls every ternary layer by its path in the module, as errors then do.</summary>
    internal static void NameLayers(nn.Module module)
    {
        foreach ((string path, BitLayerBase layer) in NamedLayers(module))
        {
            if (path.Length > 0)
                layer.LayerName = path;
        }
    }

    internal static IEnumerable<(string Path, BitLayerBase Layer)> NamedLayers(nn.Module module)
    {
        if (module is BitLayerBase self)
            yield return ("", self);
        foreach ((string path, nn.Module child) in module.named_modules())
        {
            if (child is BitLayerBase layer)
                yield return (path, layer);
            else if (child is Graft graft)
                yield return (path[..^Graft.ChildName.Length].TrimEnd('.'), graft.Layer);
        }
    }
}
