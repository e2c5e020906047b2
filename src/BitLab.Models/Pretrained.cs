using System.Text.Json;
using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>A model as a folder: config.json and model.safetensors.</summary>
internal static class Pretrained
{
    public const string ConfigFile = "config.json";
    public const string WeightsFile = "model.safetensors";

    private const string QuantConfigField = "quant_config";

    public static void Save(BitModel model, string directory)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        Directory.CreateDirectory(directory);
        SafetensorsTensors.Save(Path.Combine(directory, WeightsFile), model.state_dict());
        AtomicFile.Write(Path.Combine(directory, ConfigFile), stream =>
        {
            using var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
            writer.WriteStartObject();
            writer.WriteString(BitModelConfig.ModelTypeField, model.Config.ModelType);
            model.ConfigToSave.WriteFields(writer);
            writer.WritePropertyName(QuantConfigField);
            model.QuantConfig.WriteTo(writer);
            writer.WriteEndObject();
        });
    }

    public static BitModel Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (File.Exists(path))
            return BitNetPretrained.Load(path, BitQuantConfig.Default);
        (string modelType, BitQuantConfig quantConfig, JsonElement config) = ReadConfig(Path.Combine(path, ConfigFile));
        return ModelRegistry.Load(modelType, path, config, quantConfig);
    }

    /// <summary>Gives a new model the tensors of a folder's file, and disposes it where they do not fit.</summary>
    public static BitModel LoadStateDict(string directory, BitModel model)
    {
        string weightsPath = Path.Combine(directory, WeightsFile);
        try
        {
            using DisposeScope scope = NewDisposeScope();
            BitModules.NameLayers(model);
            model.LoadStateDict(SafetensorsTensors.Load(weightsPath));
            model.eval();
            return model;
        }
        catch (Exception e)
        {
            model.Dispose();
            if (e is ArgumentException or InvalidOperationException)
            {
                throw new BitLabException(
                    $"'{weightsPath}' does not fit the model of '{Path.Combine(directory, ConfigFile)}'. {e.Message}", e);
            }
            throw;
        }
    }

    private static (string ModelType, BitQuantConfig QuantConfig, JsonElement Config) ReadConfig(string path) =>
        JsonFile.Read(path, root =>
        {
            if (!root.TryGetProperty(BitModelConfig.ModelTypeField, out JsonElement modelType)
                || modelType.ValueKind != JsonValueKind.String)
                throw new InvalidDataException($"'{path}' has no {BitModelConfig.ModelTypeField}.");
            BitQuantConfig quantConfig = root.TryGetProperty(QuantConfigField, out JsonElement quant)
                ? BitQuantConfig.FromJson(quant)
                : BitQuantConfig.Default;
            return (modelType.GetString()!, quantConfig, root.Clone());
        });
}
