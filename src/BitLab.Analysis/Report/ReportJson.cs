using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using BitLab.Core;

namespace BitLab.Analysis;

/// <summary>Reports as JSON, without reflection.</summary>
[JsonSourceGenerationOptions(
    WriteIndented = true,
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    RespectNullableAnnotations = true,
    Converters = [typeof(ConfigConverter)])]
[JsonSerializable(typeof(AnalysisReport))]
[JsonSerializable(typeof(CalibrationReport))]
internal sealed partial class ReportJson : JsonSerializerContext
{
    public static string Write<T>(T report, JsonTypeInfo<T> type) => JsonSerializer.Serialize(report, type);

    public static T Read<T>(string json, JsonTypeInfo<T> type)
    {
        ArgumentNullException.ThrowIfNull(json);
        try
        {
            return JsonSerializer.Deserialize(json, type) ?? throw new BitLabException("A report is a JSON object, not null.");
        }
        catch (JsonException e)
        {
            throw new BitLabException($"This is no report of BitLab.Analysis: {e.Message}", e);
        }
    }

    /// <summary>A config in its own words.</summary>
    internal sealed class ConfigConverter : JsonConverter<BitQuantConfig>
    {
        public override BitQuantConfig Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        {
            using JsonDocument document = JsonDocument.ParseValue(ref reader);
            return Core.BitQuantConfig.FromJson(document.RootElement);
        }

        public override void Write(Utf8JsonWriter writer, BitQuantConfig value, JsonSerializerOptions options) => value.WriteTo(writer);
    }
}
