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

    private const string ModelTypeField = "model_type";
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
            writer.WriteString(ModelTypeField, model.Config.ModelType);
            model.Config.WriteFields(writer);
            writer.WritePropertyName(QuantConfigField);
            model.QuantConfig.WriteTo(writer);
            writer.WriteEndObject();
        });
    }

    public static BitModel Load(string directory)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        string configPath = Path.Combine(directory, ConfigFile), weightsPath = Path.Combine(directory, WeightsFile);
        (BitModelConfig config, BitQuantConfig quantConfig) = ReadConfig(configPath);
        BitModel model = ModelRegistry.Build(config, quantConfig);
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
                throw new BitLabException($"'{weightsPath}' does not fit the model of '{configPath}'. {e.Message}", e);
            throw;
        }
    }

    private static (BitModelConfig Config, BitQuantConfig QuantConfig) ReadConfig(string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
            JsonElement root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty(ModelTypeField, out JsonElement modelType)
                || modelType.ValueKind != JsonValueKind.String)
                throw new InvalidDataException($"'{path}' has no {ModelTypeField}.");
            BitQuantConfig quantConfig = root.TryGetProperty(QuantConfigField, out JsonElement quant)
                ? BitQuantConfig.FromJson(quant)
                : BitQuantConfig.Default;
            return (ModelRegistry.ReadConfig(modelType.GetString()!, root, $"'{path}'"), quantConfig);
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"'{path}' is not JSON: {e.Message}", e);
        }
    }
}
