using BitLab.Core;
using BitLab.Layers;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>A model of ternary layers that can be deployed as a whole, saved and loaded.</summary>
public abstract class BitModel : nn.Module<Tensor, Tensor>
{
    /// <summary>Creates the base. The deriving constructor makes the layers and calls
    /// <c>RegisterComponents()</c>.</summary>
    /// <param name="name">The class's name.</param>
    /// <param name="config">What the model is built from.</param>
    /// <param name="quantConfig">How its layers quantize.</param>
    protected BitModel(string name, BitModelConfig config, BitQuantConfig quantConfig)
        : base(name)
    {
        Config = config;
        QuantConfig = quantConfig;
    }

    /// <summary>What the model is built from.</summary>
    public BitModelConfig Config { get; }

    /// <summary>How its layers quantize.</summary>
    public BitQuantConfig QuantConfig { get; }

    /// <summary>The config that is written beside the weights as they are now.</summary>
    internal virtual BitModelConfig ConfigToSave => Config;

    /// <summary>Keeps the packed weights of every ternary layer and frees the latent ones for good
    /// (<see cref="BitLayerBase.Deploy"/>).</summary>
    /// <exception cref="QuantizationException">A latent weight is NaN or infinite; the error names the layer, and no layer is
    /// deployed.</exception>
    public void Deploy() => BitModules.Deploy(this);

    /// <summary>Writes config.json and model.safetensors: a latent model with its float weights, a deployed one
    /// packed.</summary>
    /// <param name="directory">Made if it is not there. Each file is replaced only when the new one is complete.</param>
    public void SavePretrained(string directory) => Pretrained.Save(this, directory);
}
