using BitLab.Core;

namespace BitLab.Models;

/// <summary>Makes models without naming their class: from a config, or from what <see cref="BitModel.SavePretrained"/>
/// wrote.</summary>
public static class AutoBitModel
{
    /// <summary>Makes a new, untrained model.</summary>
    /// <param name="config">What to build it from.</param>
    /// <param name="quantConfig">How its layers quantize; null: <see cref="BitQuantConfig.Default"/>.</param>
    /// <returns>The model in train mode, which the caller disposes.</returns>
    /// <exception cref="BitLabException">The model type is unknown.</exception>
    public static BitModel FromConfig(BitModelConfig config, BitQuantConfig? quantConfig = null) =>
        ModelRegistry.Build(config, quantConfig);

    /// <summary>Loads a model.</summary>
    /// <param name="path">The folder with config.json and model.safetensors. For a <see cref="BitNetModel"/> also one with several
    /// files and model.safetensors.index.json, or a GGUF file.</param>
    /// <returns>The model in eval mode, deployed where the file's weights are packed; the caller disposes it.</returns>
    /// <exception cref="BitLabException">The config has an unknown model type, field or word, the tensors do not fit the
    /// model, or a transformer is not ternary.</exception>
    /// <exception cref="InvalidDataException">A file is damaged, or tensors are missing, unexpected or of another shape than a
    /// BitNet transformer's; the error names the file and all such tensors.</exception>
    /// <exception cref="IOException">A file is missing or cannot be read.</exception>
    public static BitModel FromPretrained(string path) => Pretrained.Load(path);
}
