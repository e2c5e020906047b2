using System.Text.Json;
using BitLab.Core;

namespace BitLab.Models;

/// <summary>What a <see cref="BitNetModel"/> is built from: the architecture that BitLab.Core reads from config.json.</summary>
/// <param name="Architecture">Sizes, norms, embeddings and how the linear layers are ternary.</param>
public sealed record BitNetModelConfig(BitNetConfig Architecture) : BitModelConfig
{
    /// <inheritdoc/>
    public override string ModelType => Architecture.ModelType;

    /// <inheritdoc/>
    public override void WriteFields(Utf8JsonWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        using var stream = new MemoryStream();
        using (var whole = new Utf8JsonWriter(stream))
            Architecture.WriteTo(whole);
        using JsonDocument document = JsonDocument.Parse(stream.ToArray());
        foreach (JsonProperty field in document.RootElement.EnumerateObject())
        {
            if (field.Name != ModelTypeField)
                field.WriteTo(writer);
        }
    }
}
