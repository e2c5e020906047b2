using System.Text.Json;
using BitLab.Core;

namespace BitLab.Models;

/// <summary>What a model is built from. A config.json holds it, with <c>model_type</c> saying which class it is.</summary>
public abstract record BitModelConfig
{
    internal const string ModelTypeField = "model_type";

    /// <summary>The name under which <see cref="ModelRegistry"/> knows the model.</summary>
    public abstract string ModelType { get; }

    /// <summary>Writes the fields of config.json other than <c>model_type</c> and <c>quant_config</c>.</summary>
    /// <param name="writer">Stands inside the object.</param>
    public abstract void WriteFields(Utf8JsonWriter writer);
}
