using System.Text;
using System.Text.Json;

namespace BitLab.Core;

/// <summary>What shares one scale.</summary>
public enum Granularity
{
    /// <summary>One scale for the whole tensor.</summary>
    PerTensor,

    /// <summary>One scale for each row of the weights, that is for each output. For activations: <see cref="PerToken"/>.</summary>
    PerChannel,

    /// <summary>One scale for each row of the flattened activations.</summary>
    PerToken,
}

/// <summary>What the activations are while they are multiplied.</summary>
public enum ActivationDtype
{
    /// <summary>Rounded to 8-bit integers by their largest magnitude (absmax).</summary>
    Int8,

    /// <summary>Untouched.</summary>
    Float32,
}

/// <summary>What the scale of weights is taken from.</summary>
public enum WeightScale
{
    /// <summary>The mean of magnitudes (<see cref="Core.Absmean"/>).</summary>
    Absmean,

    /// <summary>Their median (<see cref="Core.Absmedian"/>).</summary>
    Absmedian,
}

/// <summary>What gradient latent weights get through their quantizer, whose own is zero almost everywhere.</summary>
public enum StraightThroughGradient
{
    /// <summary>That of w itself: the quantizer is taken for the identity.</summary>
    Identity,

    /// <summary>That of clamp(w, -scale, scale): none for weights that are outside already.</summary>
    Clipped,
}

/// <summary>How a layer quantizes: its weights always to trits, its activations as told here.</summary>
/// <remarks>The default is the recipe of BitNet b1.58 (Ma et al. 2024, arXiv:2402.17764): per-tensor absmean weights,
/// per-token absmax int8 activations. Two configs are equal when all choices are.</remarks>
public sealed record BitQuantConfig
{
    private const string WeightGranularityField = "weight_granularity";
    private const string ActivationDtypeField = "activation_dtype";
    private const string ActivationGranularityField = "activation_granularity";
    private const string WeightScaleField = "weight_scale";
    private const string GradientField = "gradient";

    private readonly Granularity weightGranularity = Granularity.PerTensor;
    private readonly ActivationDtype activationDtype = ActivationDtype.Int8;
    private readonly Granularity activationGranularity = Granularity.PerToken;
    private readonly WeightScale weightScale = WeightScale.Absmean;
    private readonly StraightThroughGradient gradient = StraightThroughGradient.Identity;

    /// <summary>The recipe of BitNet b1.58.</summary>
    public static BitQuantConfig Default { get; } = new();

    /// <summary>All 8 configs that a kernel can tell apart, the default first: those of the mean and of the identity.</summary>
    public static IReadOnlyList<BitQuantConfig> All { get; } =
    [
        .. from dtype in Enum.GetValues<ActivationDtype>()
           from weights in new[] { Granularity.PerTensor, Granularity.PerChannel }
           from activations in new[] { Granularity.PerToken, Granularity.PerTensor }
           select new BitQuantConfig
           {
               WeightGranularity = weights,
               ActivationDtype = dtype,
               ActivationGranularity = activations,
           },
    ];

    /// <summary>One scale for all weights (the default), or one for each output row.</summary>
    /// <exception cref="ArgumentException">The value is not <see cref="Granularity.PerTensor"/> or
    /// <see cref="Granularity.PerChannel"/>.</exception>
    public Granularity WeightGranularity
    {
        get => weightGranularity;
        init => weightGranularity = value is Granularity.PerTensor or Granularity.PerChannel
            ? value
            : throw new ArgumentException($"Weights are quantized PerTensor or PerChannel, not {value}.", nameof(value));
    }

    /// <summary>Int8 (the default) or untouched float32 activations.</summary>
    /// <exception cref="ArgumentException">The value is no member of the enum.</exception>
    public ActivationDtype ActivationDtype
    {
        get => activationDtype;
        init => activationDtype = Enum.IsDefined(value)
            ? value
            : throw new ArgumentException($"Activations are Int8 or Float32, not {value}.", nameof(value));
    }

    /// <summary>One scale for each token (the default) or for the whole tensor. Without effect on float32 activations.
    /// <see cref="Granularity.PerChannel"/>, the word of BitLab's Python original, is taken as
    /// <see cref="Granularity.PerToken"/>.</summary>
    /// <exception cref="ArgumentException">The value is no member of the enum.</exception>
    public Granularity ActivationGranularity
    {
        get => activationGranularity;
        init => activationGranularity = value switch
        {
            Granularity.PerTensor => value,
            Granularity.PerChannel or Granularity.PerToken => Granularity.PerToken,
            _ => throw new ArgumentException($"Activations are quantized PerTensor or PerToken, not {value}.", nameof(value)),
        };
    }

    /// <summary>The mean of magnitudes (the default) or their median as the weights' scale.</summary>
    /// <remarks>The median: Nielsen and Schneider-Kamp 2024, arXiv:2407.09527.</remarks>
    /// <exception cref="ArgumentException">The value is no member of the enum.</exception>
    public WeightScale WeightScale
    {
        get => weightScale;
        init => weightScale = Enum.IsDefined(value)
            ? value
            : throw new ArgumentException($"The weights' scale is Absmean or Absmedian, not {value}.", nameof(value));
    }

    /// <summary>The gradient of latent weights while they train. Activations need no choice: none is outside its range.</summary>
    /// <remarks>The identity: Bengio, Léonard and Courville 2013, arXiv:1308.3432. Clipped: Courbariaux et al. 2016,
    /// arXiv:1602.02830.</remarks>
    /// <exception cref="ArgumentException">The value is no member of the enum.</exception>
    public StraightThroughGradient Gradient
    {
        get => gradient;
        init => gradient = Enum.IsDefined(value)
            ? value
            : throw new ArgumentException($"The gradient is Identity or Clipped, not {value}.", nameof(value));
    }

    /// <summary>Writes the config with the field names and words of BitLab's Python original, where the activations' per
    /// token is called <c>per_channel</c>.</summary>
    /// <returns>A JSON object of three strings, and of one more for each choice that the original does not know and that is
    /// not the default.</returns>
    public string ToJson()
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream))
        {
            WriteTo(writer);
        }
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    /// <summary>Writes the config as one JSON object, as <see cref="ToJson"/> does.</summary>
    /// <param name="writer">Where to; it stands where a value may stand.</param>
    public void WriteTo(Utf8JsonWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.WriteStartObject();
        writer.WriteString(WeightGranularityField, Word(WeightGranularity));
        writer.WriteString(ActivationDtypeField, ActivationDtype == ActivationDtype.Int8 ? "int8" : "float32");
        writer.WriteString(ActivationGranularityField, Word(ActivationGranularity));
        if (WeightScale == WeightScale.Absmedian)
            writer.WriteString(WeightScaleField, "absmedian");
        if (Gradient == StraightThroughGradient.Clipped)
            writer.WriteString(GradientField, "clipped");
        writer.WriteEndObject();
    }

    /// <summary>Reads what <see cref="ToJson"/> writes. A field that is absent keeps its default; for activations,
    /// <c>per_token</c> is accepted beside <c>per_channel</c>.</summary>
    /// <param name="json">A JSON object.</param>
    /// <returns>The config.</returns>
    /// <exception cref="BitLabException">The text is no JSON object, or a field or its word is unknown.</exception>
    public static BitQuantConfig FromJson(string json)
    {
        ArgumentNullException.ThrowIfNull(json);
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return FromJson(document.RootElement);
        }
        catch (JsonException e)
        {
            throw new BitLabException($"A quantization config is a JSON object: {e.Message}", e);
        }
    }

    /// <summary>Reads a config that is part of a larger JSON document.</summary>
    /// <param name="element">A JSON object.</param>
    /// <returns>The config.</returns>
    /// <exception cref="BitLabException">It is no JSON object, or a field or its word is unknown.</exception>
    public static BitQuantConfig FromJson(JsonElement element)
    {
        if (element.ValueKind != JsonValueKind.Object)
            throw new BitLabException($"A quantization config is a JSON object, not {element.ValueKind}.");
        var config = new BitQuantConfig();
        foreach (JsonProperty field in element.EnumerateObject())
        {
            string? word = field.Value.ValueKind == JsonValueKind.String ? field.Value.GetString() : field.Value.GetRawText();
            config = (field.Name, word) switch
            {
                (WeightGranularityField, "per_tensor") => config with { WeightGranularity = Granularity.PerTensor },
                (WeightGranularityField, "per_channel") => config with { WeightGranularity = Granularity.PerChannel },
                (ActivationDtypeField, "int8") => config with { ActivationDtype = ActivationDtype.Int8 },
                (ActivationDtypeField, "float32") => config with { ActivationDtype = ActivationDtype.Float32 },
                (ActivationGranularityField, "per_tensor") => config with { ActivationGranularity = Granularity.PerTensor },
                (ActivationGranularityField, "per_token" or "per_channel") =>
                    config with { ActivationGranularity = Granularity.PerToken },
                (WeightScaleField, "absmean") => config with { WeightScale = WeightScale.Absmean },
                (WeightScaleField, "absmedian") => config with { WeightScale = WeightScale.Absmedian },
                (GradientField, "identity") => config with { Gradient = StraightThroughGradient.Identity },
                (GradientField, "clipped") => config with { Gradient = StraightThroughGradient.Clipped },
                _ => throw new BitLabException(Unknown(field.Name, word)),
            };
        }
        return config;
    }

    private static string Word(Granularity granularity) =>
        granularity == Granularity.PerTensor ? "per_tensor" : "per_channel";

    private static string Unknown(string field, string? word) => field switch
    {
        WeightGranularityField => $"{field} is '{word}'; it can be per_tensor or per_channel.",
        ActivationDtypeField => $"{field} is '{word}'; it can be int8 or float32.",
        ActivationGranularityField => $"{field} is '{word}'; it can be per_tensor, per_token or per_channel.",
        WeightScaleField => $"{field} is '{word}'; it can be absmean or absmedian.",
        GradientField => $"{field} is '{word}'; it can be identity or clipped.",
        _ => $"A quantization config has no field '{field}'; it has {WeightGranularityField}, {ActivationDtypeField}, "
            + $"{ActivationGranularityField}, {WeightScaleField} and {GradientField}.",
    };
}
