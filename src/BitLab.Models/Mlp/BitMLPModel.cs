using BitLab.Core;
using BitLab.Layers;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>A multilayer perceptron of ternary layers: (n_layers - 1) times layer, ReLU and, if there is any,
/// dropout; then a last layer.</summary>
public sealed class BitMLPModel : BitModel
{
    private readonly nn.Module<Tensor, Tensor> layers;

    /// <summary>Creates the model.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="quantConfig">How its layers quantize; null: <see cref="BitQuantConfig.Default"/>.</param>
    /// <exception cref="BitLabException">The config names a layer that is not registered.</exception>
    public BitMLPModel(BitMLPConfig config, BitQuantConfig? quantConfig = null)
        : base(nameof(BitMLPModel), config, quantConfig ?? BitQuantConfig.Default)
    {
        ArgumentNullException.ThrowIfNull(config);
        var modules = new List<nn.Module<Tensor, Tensor>>();
        for (int i = 0; i < config.NLayers; i++)
        {
            bool isLast = i == config.NLayers - 1;
            modules.Add(LayerRegistry.Create(
                config.Layer,
                i == 0 ? config.InChannels : config.HiddenDim,
                isLast ? config.OutChannels : config.HiddenDim,
                hasBias: true,
                QuantConfig));
            if (isLast)
                break;
            modules.Add(nn.ReLU());
            if (config.Dropout > 0)
                modules.Add(nn.Dropout(config.Dropout));
        }
        layers = nn.Sequential(modules);
        RegisterComponents();
        BitModules.NameLayers(this);
    }

    /// <summary>Computes the outputs, for a classifier the logits.</summary>
    /// <param name="input">(*, in_channels).</param>
    /// <returns>(*, out_channels).</returns>
    public override Tensor forward(Tensor input) => layers.call(input);
}
