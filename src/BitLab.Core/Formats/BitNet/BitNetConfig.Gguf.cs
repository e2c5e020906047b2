namespace BitLab.Core;

public sealed partial record BitNetConfig
{
    private const string SiluArchitecture = "bitnet", Relu2Architecture = "bitnet-b1.58", OldRelu2Architecture = "bitnet-25";
    private const string HiddenActivationKey = "hidden_activation";
    private const string BosKey = "tokenizer.ggml.bos_token_id", EosKey = "tokenizer.ggml.eos_token_id";
    private const string EotKey = "tokenizer.ggml.eot_token_id", PadKey = "tokenizer.ggml.padding_token_id";
    private const string TokensKey = "tokenizer.ggml.tokens";

    /// <summary>Reads the metadata of a GGUF file.</summary>
    /// <param name="file">A file of architecture <c>bitnet</c>, <c>bitnet-25</c>, <c>bitnet-b1.58</c> or <c>llama</c>.</param>
    /// <returns>The config. Linear layers that hold trits are <see cref="BitNetQuantizationMode.Offline"/>; floats in a BitNet
    /// architecture are <see cref="BitNetQuantizationMode.Online"/>. Embeddings are tied where there is no <c>output.weight</c>.</returns>
    /// <exception cref="InvalidDataException">A value is absent or cannot be, or asks for what BitLab does not do; file and key are
    /// named.</exception>
    public static BitNetConfig FromGguf(GgufFile file)
    {
        ArgumentNullException.ThrowIfNull(file);
        var fields = new GgufFields(file);
        string architecture = fields.Text(GgufFile.ArchitectureKey)
            ?? throw new InvalidDataException($"'{file.Path}' has no {GgufFile.ArchitectureKey}.");
        if (architecture is not (SiluArchitecture or Relu2Architecture or OldRelu2Architecture or LlamaType))
            throw fields.Bad(GgufFile.ArchitectureKey, $"{SiluArchitecture}, {OldRelu2Architecture}, {Relu2Architecture} or {LlamaType}");
        bool isLlama = architecture == LlamaType;
        string Key(string name) => $"{architecture}.{name}";
        int hidden = fields.Integer(Key("embedding_length"), null, 1, MaxWidth);
        int heads = fields.Integer(Key("attention.head_count"), null, 1, MaxWidth);
        int rotated = fields.Integer(Key("rope.dimension_count"), hidden / heads, 1, MaxWidth);
        int headDim = fields.Integer(Key("attention.key_length"), rotated, 1, MaxWidth);
        if (rotated != headDim || fields.Integer(Key("attention.value_length"), headDim, 1, MaxWidth) != headDim)
            throw fields.Bad(Key("rope.dimension_count"), $"the width of a head, {headDim}");
        if (fields.Text(Key("rope.scaling.type")) is not (null or "none" or "linear")
            || fields.Number(Key("rope.scaling.factor"), 1) != 1)
            throw fields.Bad(Key("rope.scaling.type"), "none: BitLab scales no positions");
        bool hasTrits = file.Tensors.Values.Any(tensor => tensor.Type.Encoding()
            is TensorEncoding.I2_S or TensorEncoding.TQ1_0 or TensorEncoding.TQ2_0);
        var config = new BitNetConfig
        {
            ModelType = isLlama ? LlamaType : BitNetType,
            VocabSize = VocabularyOf(file, fields, Key("vocab_size")),
            HiddenSize = hidden,
            IntermediateSize = fields.Integer(Key("feed_forward_length"), null, 1, MaxWidth),
            NumHiddenLayers = fields.Integer(Key("block_count"), null, 1, MaxLayers),
            NumAttentionHeads = heads,
            NumKeyValueHeads = fields.Integer(Key("attention.head_count_kv"), heads, 1, MaxWidth),
            HeadDim = headDim,
            MaxPositionEmbeddings = fields.Integer(Key("context_length"), null, 1, MaxPositions),
            RmsNormEps = fields.Number(Key("attention.layer_norm_rms_epsilon"), null),
            RopeTheta = fields.Number(Key("rope.freq_base"), 10000f),
            HiddenAct = fields.Text(Key(HiddenActivationKey)) switch
            {
                null => architecture is Relu2Architecture or OldRelu2Architecture ? BitNetActivation.Relu2 : BitNetActivation.Silu,
                "relu2" or "relu_sqr" => BitNetActivation.Relu2,
                "silu" or "swish" or "swiglu" => BitNetActivation.Silu,
                _ => throw fields.Bad(Key(HiddenActivationKey), "relu2 or silu"),
            },
            HasSubNorms = !isLlama,
            TieWordEmbeddings = !file.Tensors.ContainsKey("output.weight"),
            BosTokenId = fields.Token(BosKey),
            EosTokenIds = [.. new[] { fields.Token(EosKey), fields.Token(EotKey) }.OfType<int>().Distinct()],
            PadTokenId = fields.Token(PadKey),
            Quantization = !hasTrits && isLlama ? null : new BitNetQuantization
            {
                LinearClass = BitNetLinearClass.AutoBitLinear,
                QuantizationMode = hasTrits ? BitNetQuantizationMode.Offline : BitNetQuantizationMode.Online,
            },
        };
        config.Check($"'{file.Path}'");
        return config;
    }

    /// <summary>The metadata of a GGUF file of this model, other than the tokenizer's vocabulary.</summary>
    /// <param name="linears">What the linear layers are held as. With <see cref="GgufTensorType.I2_S"/>, which only bitnet.cpp reads, a
    /// model with <see cref="BitNetActivation.Relu2"/> is of architecture <c>bitnet-b1.58</c>, else of <c>bitnet</c>, with the key
    /// <c>hidden_activation</c> by which llama.cpp tells it; a Llama is <c>llama</c>.</param>
    /// <param name="name">The model's name.</param>
    /// <returns>Keys and values.</returns>
    /// <exception cref="InvalidDataException">The config is not consistent, or has what GGUF cannot say: norms of the linear layers'
    /// own (<see cref="BitNetQuantization.UseRmsNorm"/>).</exception>
    public IReadOnlyList<KeyValuePair<string, GgufValue>> ToGguf(GgufTensorType linears, string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        Check("The config");
        if (Quantization is { UseRmsNorm: true })
            throw new InvalidDataException("GGUF files have no place for the norms of linear layers (use_rms_norm).");
        string architecture = ModelType == LlamaType ? LlamaType
            : HiddenAct == BitNetActivation.Relu2 && linears == GgufTensorType.I2_S ? Relu2Architecture
            : SiluArchitecture;
        var values = new List<KeyValuePair<string, GgufValue>>();
        Add(GgufFile.ArchitectureKey, GgufValue.Of(architecture));
        Add("general.name", GgufValue.Of(name));
        AddOwn("vocab_size", VocabSize);
        AddOwn("context_length", MaxPositionEmbeddings);
        AddOwn("embedding_length", HiddenSize);
        AddOwn("block_count", NumHiddenLayers);
        AddOwn("feed_forward_length", IntermediateSize);
        AddOwn("rope.dimension_count", HeadDim);
        AddOwn("attention.head_count", NumAttentionHeads);
        AddOwn("attention.head_count_kv", NumKeyValueHeads);
        // Readers take the width of a head from these where it does not follow from the others.
        if ((long)HeadDim * NumAttentionHeads != HiddenSize)
        {
            AddOwn("attention.key_length", HeadDim);
            AddOwn("attention.value_length", HeadDim);
        }
        Add($"{architecture}.attention.layer_norm_rms_epsilon", GgufValue.Of(RmsNormEps));
        Add($"{architecture}.rope.freq_base", GgufValue.Of(RopeTheta));
        Add($"{architecture}.{HiddenActivationKey}", GgufValue.Of(HiddenAct == BitNetActivation.Relu2 ? "relu2" : "silu"));
        Add("general.quantization_version", GgufValue.Of(2u));
        Add(GgufFile.FileTypeKey, GgufValue.Of(FileTypeOf(linears)));
        AddToken(BosKey, BosTokenId);
        AddToken(EosKey, EosTokenIds.Count > 0 ? EosTokenIds[0] : null);
        AddToken(EotKey, EosTokenIds.Count > 1 ? EosTokenIds[1] : null);
        AddToken(PadKey, PadTokenId);
        return values;

        void Add(string key, GgufValue value) => values.Add(new(key, value));

        void AddOwn(string key, int value) => Add($"{architecture}.{key}", GgufValue.Of((uint)value));

        void AddToken(string key, int? token)
        {
            if (token is int number)
                Add(key, GgufValue.Of((uint)number));
        }
    }

    // llama.cpp's numbers for what most tensors of a file are, and bitnet.cpp's for I2_S.
    private static uint FileTypeOf(GgufTensorType linears) => linears switch
    {
        GgufTensorType.F32 => 0,
        GgufTensorType.F16 => 1,
        GgufTensorType.BF16 => 32,
        GgufTensorType.TQ1_0 => 36,
        GgufTensorType.TQ2_0 => 37,
        GgufTensorType.I2_S => 40,
        _ => throw new ArgumentException($"BitLab writes no model of {linears}.", nameof(linears)),
    };

    private static int VocabularyOf(GgufFile file, GgufFields fields, string key)
    {
        if (file.Metadata.ContainsKey(key))
            return fields.Integer(key, null, 1, MaxVocabulary);
        if (file.Tensors.TryGetValue("token_embd.weight", out GgufTensor? embedding) && embedding.Shape.Count == 2)
            return embedding.Shape[0] is >= 1 and <= MaxVocabulary ? (int)embedding.Shape[0] : throw fields.Bad(key, "a vocabulary's size");
        return file.Metadata.TryGetValue(TokensKey, out GgufValue? tokens) && tokens.Type == GgufValueType.Array
            && tokens.Count is >= 1 and <= MaxVocabulary
            ? (int)tokens.Count
            : throw fields.Bad(key, "a vocabulary's size");
    }
}
