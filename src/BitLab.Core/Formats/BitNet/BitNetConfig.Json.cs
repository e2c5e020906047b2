using System.Diagnostics;
using System.Text.Json;

namespace BitLab.Core;

public sealed partial record BitNetConfig
{
    private const string EosField = "eos_token_id";
    private const string QuantizationField = "quantization_config";
    private const string BitLinearName = "bitlinear", AutoBitLinearName = "autobitlinear";
    private const string OfflineName = "offline", OnlineName = "online";

    // The class of the first reproductions, whose config.json says "llama" although their layers have sub-norms.
    private const string FirstArchitecture = "BitnetForCausalLM";

    /// <summary>Reads the object of a config.json.</summary>
    /// <param name="root">The object.</param>
    /// <param name="source">What errors call it: the file's name in quotes.</param>
    /// <returns>The config. Absent fields have the defaults of Hugging Face's class for the model type. A model of the first
    /// reproductions (<c>BitnetForCausalLM</c>, <c>weight_bits</c> 1) becomes type <c>bitnet</c> with master weights.</returns>
    /// <exception cref="InvalidDataException">A field cannot be, or asks for what BitLab does not do; source and field are
    /// named.</exception>
    public static BitNetConfig FromJson(JsonElement root, string source)
    {
        ArgumentNullException.ThrowIfNull(source);
        if (root.ValueKind != JsonValueKind.Object)
            throw new InvalidDataException($"{source} is no JSON object.");
        var fields = new JsonFields(root, source);
        string? type = fields.Text("model_type");
        bool isFirst = fields.Texts("architectures").Contains(FirstArchitecture);
        if (!isFirst && type is not (BitNetType or LlamaType))
            throw fields.Bad("model_type", $"{BitNetType} or {LlamaType}");
        bool isLlama = isFirst || type == LlamaType;
        CheckUnsupported(fields);
        BitNetConfig defaults = isLlama ? LlamaDefaults : new BitNetConfig();
        int heads = fields.Integer("num_attention_heads", defaults.NumAttentionHeads, 1, MaxWidth);
        int hidden = fields.Integer("hidden_size", defaults.HiddenSize, 1, MaxWidth);
        if (!fields.Has("head_dim") && hidden % heads != 0)
            throw fields.Bad("hidden_size", $"a multiple of num_attention_heads, {heads}");
        IReadOnlyList<int> bos = fields.Tokens("bos_token_id", defaults.BosTokenId is int b ? [b] : []);
        IReadOnlyList<int> pad = fields.Tokens("pad_token_id", []);
        var config = new BitNetConfig
        {
            ModelType = isLlama && !isFirst ? LlamaType : BitNetType,
            VocabSize = fields.Integer("vocab_size", defaults.VocabSize, 1, MaxVocabulary),
            HiddenSize = hidden,
            IntermediateSize = fields.Integer("intermediate_size", defaults.IntermediateSize, 1, MaxWidth),
            NumHiddenLayers = fields.Integer("num_hidden_layers", defaults.NumHiddenLayers, 1, MaxLayers),
            NumAttentionHeads = heads,
            NumKeyValueHeads = fields.Integer("num_key_value_heads", isLlama ? heads : defaults.NumKeyValueHeads, 1, MaxWidth),
            HeadDim = fields.Integer("head_dim", hidden / heads, 1, MaxWidth),
            MaxPositionEmbeddings = fields.Integer("max_position_embeddings", defaults.MaxPositionEmbeddings, 1, MaxPositions),
            RmsNormEps = fields.Number("rms_norm_eps", defaults.RmsNormEps, 0, 1),
            RopeTheta = RopeThetaOf(fields, defaults.RopeTheta),
            HiddenAct = fields.Text("hidden_act") switch
            {
                null => defaults.HiddenAct,
                "relu2" => BitNetActivation.Relu2,
                "silu" or "swish" => BitNetActivation.Silu,
                _ => throw fields.Bad("hidden_act", "relu2 or silu"),
            },
            HasSubNorms = isFirst || !isLlama,
            TieWordEmbeddings = fields.Flag("tie_word_embeddings", false),
            BosTokenId = bos.Count > 0 ? bos[0] : null,
            EosTokenIds = fields.Tokens(EosField, defaults.EosTokenIds),
            PadTokenId = pad.Count > 0 ? pad[0] : null,
            InitializerRange = fields.Number("initializer_range", defaults.InitializerRange, 0, 1e6f),
            Quantization = fields.Object(QuantizationField) is JsonFields quantization ? ReadQuantization(quantization)
                : isFirst ? new BitNetQuantization
                {
                    LinearClass = BitNetLinearClass.AutoBitLinear,
                    QuantizationMode = BitNetQuantizationMode.Online,
                }
                : null,
        };
        config.Check(source);
        return config;
    }

    /// <summary>Writes a whole config.json, with the names that Hugging Face's library reads.</summary>
    /// <param name="writer">Where to.</param>
    /// <exception cref="InvalidDataException">The config is not consistent (<see cref="Check"/>).</exception>
    public void WriteTo(Utf8JsonWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        Check("The config");
        writer.WriteStartObject();
        writer.WriteStartArray("architectures");
        writer.WriteStringValue(ModelType == LlamaType ? "LlamaForCausalLM" : "BitNetForCausalLM");
        writer.WriteEndArray();
        writer.WriteBoolean("attention_bias", false);
        WriteToken(writer, "bos_token_id", BosTokenId);
        WriteEosTokens(writer);
        writer.WriteNumber("head_dim", HeadDim);
        writer.WriteString("hidden_act", HiddenAct == BitNetActivation.Silu ? "silu" : "relu2");
        writer.WriteNumber("hidden_size", HiddenSize);
        writer.WriteNumber("initializer_range", InitializerRange);
        writer.WriteNumber("intermediate_size", IntermediateSize);
        writer.WriteNumber("max_position_embeddings", MaxPositionEmbeddings);
        writer.WriteString("model_type", ModelType);
        writer.WriteNumber("num_attention_heads", NumAttentionHeads);
        writer.WriteNumber("num_hidden_layers", NumHiddenLayers);
        writer.WriteNumber("num_key_value_heads", NumKeyValueHeads);
        WriteToken(writer, "pad_token_id", PadTokenId);
        if (Quantization is not null)
            WriteQuantization(writer, Quantization);
        writer.WriteNumber("rms_norm_eps", RmsNormEps);
        writer.WriteNumber("rope_theta", RopeTheta);
        writer.WriteBoolean("tie_word_embeddings", TieWordEmbeddings);
        writer.WriteString("torch_dtype", "bfloat16");
        writer.WriteNumber("vocab_size", VocabSize);
        writer.WriteEndObject();
    }

    /// <summary>What a Llama config.json means where it is silent.</summary>
    private static BitNetConfig LlamaDefaults { get; } = new()
    {
        ModelType = LlamaType,
        VocabSize = 32000,
        HiddenSize = 4096,
        IntermediateSize = 11008,
        NumHiddenLayers = 32,
        NumAttentionHeads = 32,
        NumKeyValueHeads = 32,
        RmsNormEps = 1e-6f,
        RopeTheta = 10000f,
        HiddenAct = BitNetActivation.Silu,
        HasSubNorms = false,
        BosTokenId = 1,
        EosTokenIds = [2],
    };

    // What would change the model's outputs is refused, not overlooked.
    private static void CheckUnsupported(JsonFields fields)
    {
        foreach (string bias in (string[])["attention_bias", "mlp_bias"])
        {
            if (fields.Flag(bias, false))
                throw fields.Bad(bias, "false: BitNet's layers have no bias");
        }
        if (fields.Number("partial_rotary_factor", 1, 0, 1) != 1)
            throw fields.Bad("partial_rotary_factor", "1");
        if (fields.Object("rope_scaling") is JsonFields scaling)
            CheckRopeType(scaling);
    }

    private static void CheckRopeType(JsonFields rope)
    {
        foreach (string name in (string[])["rope_type", "type"])
        {
            if (rope.Text(name) is not (null or "default"))
                throw rope.Bad(name, "default: BitLab scales no positions");
        }
    }

    // Since version 5, Hugging Face's library writes the base within an object.
    private static float RopeThetaOf(JsonFields fields, float absent)
    {
        const string Field = "rope_theta";
        if (fields.Object("rope_parameters") is JsonFields rope)
        {
            CheckRopeType(rope);
            absent = rope.Number(Field, absent, 1, 1e30f);
        }
        return fields.Number(Field, absent, 1, 1e30f);
    }

    private static BitNetQuantization ReadQuantization(JsonFields fields)
    {
        var defaults = new BitNetQuantization();
        if (fields.Text("quant_method") is not BitNetType)
            throw fields.Bad("quant_method", BitNetType);
        // Nothing else in a file tells the two apart.
        if (!fields.Has("linear_class") && fields.Text("quantization_mode") is not OnlineName)
            Trace.TraceWarning($"{fields.Source} has no linear_class; packed weights are divided by their weight_scale ({BitLinearName}).");
        return new BitNetQuantization
        {
            LinearClass = fields.Text("linear_class") switch
            {
                null or BitLinearName => BitNetLinearClass.BitLinear,
                AutoBitLinearName => BitNetLinearClass.AutoBitLinear,
                _ => throw fields.Bad("linear_class", $"{BitLinearName} or {AutoBitLinearName}"),
            },
            QuantizationMode = fields.Text("quantization_mode") switch
            {
                null or OfflineName => BitNetQuantizationMode.Offline,
                OnlineName => BitNetQuantizationMode.Online,
                _ => throw fields.Bad("quantization_mode", $"{OfflineName} or {OnlineName}"),
            },
            UseRmsNorm = fields.Flag("use_rms_norm", defaults.UseRmsNorm),
            RmsNormEps = fields.Number("rms_norm_eps", defaults.RmsNormEps, 0, 1),
            ModulesToNotConvert = fields.Texts("modules_to_not_convert"),
        };
    }

    private static void WriteQuantization(Utf8JsonWriter writer, BitNetQuantization quantization)
    {
        writer.WriteStartObject(QuantizationField);
        writer.WriteString("quant_method", BitNetType);
        writer.WriteString(
            "linear_class", quantization.LinearClass == BitNetLinearClass.BitLinear ? BitLinearName : AutoBitLinearName);
        writer.WriteString(
            "quantization_mode", quantization.QuantizationMode == BitNetQuantizationMode.Offline ? OfflineName : OnlineName);
        if (quantization.ModulesToNotConvert.Count > 0)
        {
            writer.WriteStartArray("modules_to_not_convert");
            foreach (string module in quantization.ModulesToNotConvert)
                writer.WriteStringValue(module);
            writer.WriteEndArray();
        }
        writer.WriteBoolean("use_rms_norm", quantization.UseRmsNorm);
        writer.WriteNumber("rms_norm_eps", quantization.RmsNormEps);
        writer.WriteEndObject();
    }

    private static void WriteToken(Utf8JsonWriter writer, string name, int? token)
    {
        if (token is int number)
            writer.WriteNumber(name, number);
        else
            writer.WriteNull(name);
    }

    private void WriteEosTokens(Utf8JsonWriter writer)
    {
        if (EosTokenIds.Count < 2)
        {
            WriteToken(writer, EosField, EosTokenIds.Count == 1 ? EosTokenIds[0] : null);
            return;
        }
        writer.WriteStartArray(EosField);
        foreach (int token in EosTokenIds)
            writer.WriteNumberValue(token);
        writer.WriteEndArray();
    }
}
