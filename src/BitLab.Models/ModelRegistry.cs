using System.Collections.Concurrent;
using System.Text.Json;
using BitLab.Core;

namespace BitLab.Models;

/// <summary>Models by their <c>model_type</c>. A model of one's own takes part by one <see cref="Register"/>. Any thread may
/// call it.</summary>
public static class ModelRegistry
{
    private static readonly Row BitNet = new(
        (config, quantConfig) => new BitNetModel(((BitNetModelConfig)config).Architecture, quantConfig),
        (directory, _, quantConfig) => BitNetPretrained.Load(directory, quantConfig));

    private static readonly ConcurrentDictionary<string, Row> Rows = new(StringComparer.Ordinal)
    {
        [BitMLPConfig.Type] = Row.OfStateDict(
            fields => BitMLPConfig.Read(fields),
            (config, quantConfig) => new BitMLPModel((BitMLPConfig)config, quantConfig)),
        [BitNetConfig.BitNetType] = BitNet,
        [BitNetConfig.LlamaType] = BitNet,
    };

    /// <summary>The model types there are, in alphabetical order.</summary>
    public static IReadOnlyList<string> ModelTypes => [.. Rows.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Adds a model.</summary>
    /// <param name="modelType">Its <c>model_type</c>.</param>
    /// <param name="readConfig">Reads its config from the object of a config.json.</param>
    /// <param name="build">Makes the model.</param>
    /// <exception cref="ArgumentException">The type is taken.</exception>
    public static void Register(
        string modelType, Func<JsonElement, BitModelConfig> readConfig, Func<BitModelConfig, BitQuantConfig, BitModel> build)
    {
        ArgumentException.ThrowIfNullOrEmpty(modelType);
        ArgumentNullException.ThrowIfNull(readConfig);
        ArgumentNullException.ThrowIfNull(build);
        if (!Rows.TryAdd(modelType, Row.OfStateDict(readConfig, build)))
            throw new ArgumentException($"There is a model '{modelType}' already.", nameof(modelType));
    }

    /// <summary>Makes a new model.</summary>
    /// <param name="config">What to build it from; its <see cref="BitModelConfig.ModelType"/> is registered.</param>
    /// <param name="quantConfig">How its layers quantize; null: <see cref="BitQuantConfig.Default"/>.</param>
    /// <returns>The model, which the caller disposes.</returns>
    /// <exception cref="BitLabException">The model type is unknown.</exception>
    public static BitModel Build(BitModelConfig config, BitQuantConfig? quantConfig = null)
    {
        ArgumentNullException.ThrowIfNull(config);
        return Find(config.ModelType, "The config").Build(config, quantConfig ?? BitQuantConfig.Default);
    }

    /// <summary>Loads the model of a folder whose config.json is read already.</summary>
    internal static BitModel Load(string modelType, string directory, JsonElement config, BitQuantConfig quantConfig) =>
        Find(modelType, $"'{Path.Combine(directory, Pretrained.ConfigFile)}'").Load(directory, config, quantConfig);

    private static Row Find(string modelType, string source) => Rows.TryGetValue(modelType, out Row? row)
        ? row
        : throw new BitLabException(
            $"{source} has the model_type '{modelType}'; the known ones are: {string.Join(", ", ModelTypes)}.");

    private sealed record Row(
        Func<BitModelConfig, BitQuantConfig, BitModel> Build, Func<string, JsonElement, BitQuantConfig, BitModel> Load)
    {
        /// <summary>A model that is built, then given the tensors of its file by their names.</summary>
        public static Row OfStateDict(
            Func<JsonElement, BitModelConfig> readConfig, Func<BitModelConfig, BitQuantConfig, BitModel> build) =>
            new(build, (directory, config, quantConfig) =>
                Pretrained.LoadStateDict(directory, build(readConfig(config), quantConfig)));
    }
}
