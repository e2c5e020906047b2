using System.Text.Json;

namespace BitLab.Cli;

/// <summary>A look into a config.json.</summary>
internal static class ConfigFile
{
    private const long MaxBytes = 16 << 20;

    /// <summary>The model's type, or null where it states none.</summary>
    public static string? ModelType(string path)
    {
        if (new FileInfo(path).Length > MaxBytes)
            throw new InvalidDataException($"'{path}' is too long for a config.");
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
            return document.RootElement.ValueKind == JsonValueKind.Object
                && document.RootElement.TryGetProperty("model_type", out JsonElement type) && type.ValueKind == JsonValueKind.String
                ? type.GetString()
                : null;
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"'{path}' is not JSON: {e.Message}", e);
        }
    }
}
