using System.Text.Json;
using BitLab.Core;
using BitLab.Layers;

namespace BitLab.Models;

/// <summary>What a <see cref="BitMLPModel"/> is built from.</summary>
public sealed record BitMLPConfig : BitModelConfig
{
    internal const string Type = "bit_mlp";

    private const string NLayersField = "n_layers";
    private const string InChannelsField = "in_channels";
    private const string HiddenDimField = "hidden_dim";
    private const string OutChannelsField = "out_channels";
    private const string DropoutField = "dropout";
    private const string LayerField = "layer";

    private readonly int nLayers = 3;
    private readonly long inChannels = 256;
    private readonly long hiddenDim = 128;
    private readonly long outChannels = 10;
    private readonly double dropout;

    /// <summary>Ternary layers, at least 1. Default: 3.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int NLayers
    {
        get => nLayers;
        init => nLayers = (int)AtLeastOne(value, nameof(NLayers));
    }

    /// <summary>Features of the input. Default: 256.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public long InChannels
    {
        get => inChannels;
        init => inChannels = AtLeastOne(value, nameof(InChannels));
    }

    /// <summary>Features between the layers. Default: 128.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public long HiddenDim
    {
        get => hiddenDim;
        init => hiddenDim = AtLeastOne(value, nameof(HiddenDim));
    }

    /// <summary>Features of the output. Default: 10.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public long OutChannels
    {
        get => outChannels;
        init => outChannels = AtLeastOne(value, nameof(OutChannels));
    }

    /// <summary>The probability with which a hidden feature is dropped in training, 0 to below 1. Default: 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 0, 1 or above, or NaN.</exception>
    public double Dropout
    {
        get => dropout;
        init => dropout = value is >= 0 and < 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Dropout is at least 0 and below 1.");
    }

    /// <summary>The name of the layers in <see cref="LayerRegistry"/>. Default: <see cref="BitLinear"/>; <c>Linear</c> gives
    /// the float twin.</summary>
    public string Layer { get; init; } = nameof(BitLinear);

    /// <inheritdoc/>
    public override string ModelType => Type;

    /// <inheritdoc/>
    public override void WriteFields(Utf8JsonWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.WriteNumber(NLayersField, NLayers);
        writer.WriteNumber(InChannelsField, InChannels);
        writer.WriteNumber(HiddenDimField, HiddenDim);
        writer.WriteNumber(OutChannelsField, OutChannels);
        writer.WriteNumber(DropoutField, Dropout);
        // The original has no such field, so its default is left out.
        if (Layer != nameof(BitLinear))
            writer.WriteString(LayerField, Layer);
    }

    internal static BitMLPConfig Read(JsonElement fields)
    {
        var defaults = new BitMLPConfig();
        try
        {
            return new BitMLPConfig
            {
                NLayers = checked((int)Integer(NLayersField, defaults.NLayers)),
                InChannels = Integer(InChannelsField, defaults.InChannels),
                HiddenDim = Integer(HiddenDimField, defaults.HiddenDim),
                OutChannels = Integer(OutChannelsField, defaults.OutChannels),
                Dropout = fields.TryGetProperty(DropoutField, out JsonElement dropout) ? dropout.GetDouble() : defaults.Dropout,
                Layer = fields.TryGetProperty(LayerField, out JsonElement layer) ? layer.GetString() ?? "" : defaults.Layer,
            };
        }
        catch (Exception e) when (e is InvalidOperationException or FormatException or ArgumentException or OverflowException)
        {
            throw new BitLabException($"The config of a {Type} model has a field that cannot be: {e.Message}", e);
        }

        long Integer(string field, long absent) =>
            fields.TryGetProperty(field, out JsonElement value) ? value.GetInt64() : absent;
    }

    private static long AtLeastOne(long value, string name) =>
        value >= 1 ? value : throw new ArgumentOutOfRangeException(name, value, $"{name} is at least 1.");
}
