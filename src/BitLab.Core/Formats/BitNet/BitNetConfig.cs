namespace BitLab.Core;

/// <summary>The shape of a BitNet transformer: what Hugging Face's config.json says of a model of type <c>bitnet</c>, or of
/// type <c>llama</c> with BitNet quantization.</summary>
/// <remarks>The defaults are those of Hugging Face's <c>BitNetConfig</c>. An object read from a file is consistent: see
/// <see cref="Check"/>.</remarks>
public sealed partial record BitNetConfig
{
    /// <summary>The type of models with sub-norms.</summary>
    public const string BitNetType = "bitnet";

    /// <summary>The type of models without sub-norms.</summary>
    public const string LlamaType = "llama";

    private const int MaxWidth = PackedTernaryWeights.MaxColumns, MaxLayers = 1 << 10, MaxVocabulary = 1 << 24, MaxPositions = 1 << 26;

    /// <summary><see cref="BitNetType"/> or <see cref="LlamaType"/>. Default: <see cref="BitNetType"/>.</summary>
    public string ModelType { get; init; } = BitNetType;

    /// <summary>Tokens in the vocabulary. Default: 128256.</summary>
    public int VocabSize { get; init; } = 128256;

    /// <summary>Width of the residual stream. Default: 2560.</summary>
    public int HiddenSize { get; init; } = 2560;

    /// <summary>Width of the feed-forward part. Default: 6912.</summary>
    public int IntermediateSize { get; init; } = 6912;

    /// <summary>Transformer layers. Default: 30.</summary>
    public int NumHiddenLayers { get; init; } = 30;

    /// <summary>Heads of the queries. Default: 20.</summary>
    public int NumAttentionHeads { get; init; } = 20;

    /// <summary>Heads of keys and values, a divisor of <see cref="NumAttentionHeads"/>. Default: 5.</summary>
    public int NumKeyValueHeads { get; init; } = 5;

    /// <summary>Width of a head, even. Default: 128; where a file has none, <see cref="HiddenSize"/> /
    /// <see cref="NumAttentionHeads"/>.</summary>
    public int HeadDim { get; init; } = 128;

    /// <summary>The longest sequence the model was trained for. Default: 2048.</summary>
    public int MaxPositionEmbeddings { get; init; } = 2048;

    /// <summary>The epsilon of all RMS norms of the model. Default: 1e-5.</summary>
    public float RmsNormEps { get; init; } = 1e-5f;

    /// <summary>The base of the rotary position embedding. Default: 500000.</summary>
    public float RopeTheta { get; init; } = 500000f;

    /// <summary>The nonlinearity of the feed-forward part. Default: <see cref="BitNetActivation.Relu2"/>.</summary>
    public BitNetActivation HiddenAct { get; init; } = BitNetActivation.Relu2;

    /// <summary>Whether the inputs of the output and down projections are normalized (<c>attn_sub_norm</c>,
    /// <c>ffn_sub_norm</c>). True for models of type <c>bitnet</c>, false for <c>llama</c>. Default: true.</summary>
    public bool HasSubNorms { get; init; } = true;

    /// <summary>Whether the head is the token embedding. Default: false.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>The token that begins a text, or null. Default: 128000.</summary>
    public int? BosTokenId { get; init; } = 128000;

    /// <summary>The tokens that end a text. Default: 128001.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [128001];

    /// <summary>The token that fills up short rows of a batch, or null. Default: null.</summary>
    public int? PadTokenId { get; init; }

    /// <summary>Standard deviation of freshly initialized weights. Default: 0.02.</summary>
    public float InitializerRange { get; init; } = 0.02f;

    /// <summary>How the linear layers are ternary, or null where the file says nothing of it: they are floats then.</summary>
    public BitNetQuantization? Quantization { get; init; }

    /// <summary>Reads a config.json.</summary>
    /// <param name="path">The file. A <c>generation_config.json</c> beside it adds its <c>eos_token_id</c> to
    /// <see cref="EosTokenIds"/>, as generation in Hugging Face's library stops at those.</param>
    /// <returns>The config.</returns>
    /// <exception cref="InvalidDataException">The file is no JSON, or a field cannot be; file and field are named.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static BitNetConfig FromFile(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        BitNetConfig config = JsonFile.Read(path, root => FromJson(root, $"'{path}'"));
        string generation = Path.Combine(Path.GetDirectoryName(path) ?? "", "generation_config.json");
        return !File.Exists(generation) ? config : config with
        {
            EosTokenIds = [.. config.EosTokenIds.Union(
                JsonFile.Read(generation, root => new JsonFields(root, $"'{generation}'").Tokens(EosField, [])))],
        };
    }

    /// <summary>Throws where numbers do not fit each other or are beyond what any model needs, so that nothing is allocated by
    /// such a config.</summary>
    /// <param name="source">What the error calls the config.</param>
    /// <exception cref="InvalidDataException">A field cannot be; it is named.</exception>
    public void Check(string source)
    {
        Range(nameof(VocabSize), VocabSize, MaxVocabulary);
        Range(nameof(HiddenSize), HiddenSize, MaxWidth);
        Range(nameof(IntermediateSize), IntermediateSize, MaxWidth);
        Range(nameof(NumHiddenLayers), NumHiddenLayers, MaxLayers);
        Range(nameof(NumAttentionHeads), NumAttentionHeads, MaxWidth);
        Range(nameof(NumKeyValueHeads), NumKeyValueHeads, MaxWidth);
        Range(nameof(HeadDim), HeadDim, MaxWidth);
        Range(nameof(MaxPositionEmbeddings), MaxPositionEmbeddings, MaxPositions);
        Require(HeadDim % 2 == 0, $"{nameof(HeadDim)} is {HeadDim}; rotary embedding needs an even one");
        Require(
            (long)NumAttentionHeads * HeadDim <= MaxWidth,
            $"{nameof(NumAttentionHeads)} {NumAttentionHeads} times {nameof(HeadDim)} {HeadDim} is more than {MaxWidth}");
        Require(
            NumAttentionHeads % NumKeyValueHeads == 0,
            $"{nameof(NumAttentionHeads)} is {NumAttentionHeads}, no multiple of {nameof(NumKeyValueHeads)}, {NumKeyValueHeads}");
        Require(RmsNormEps is > 0 and < 1, $"{nameof(RmsNormEps)} is {RmsNormEps}; expected more than 0 and less than 1");
        Require(RopeTheta is >= 1 and < 1e30f, $"{nameof(RopeTheta)} is {RopeTheta}; expected 1 or more");
        Require(InitializerRange is >= 0 and < 1e6f, $"{nameof(InitializerRange)} is {InitializerRange}; expected 0 or more");
        Require(ModelType is BitNetType or LlamaType, $"{nameof(ModelType)} is '{ModelType}'; expected {BitNetType} or {LlamaType}");
        Require(
            HasSubNorms == (ModelType == BitNetType),
            $"a model of type {ModelType} has {(HasSubNorms ? "no sub-norms" : "sub-norms")}, contrary to {nameof(HasSubNorms)}");
        Require(Quantization is null or { RmsNormEps: > 0 and < 1 }, "the quantization's RmsNormEps is not between 0 and 1");

        void Range(string name, int value, int max) => Require(value >= 1 && value <= max, $"{name} is {value}; expected 1 to {max}");

        void Require(bool isSo, string otherwise)
        {
            if (!isSo)
                throw new InvalidDataException($"{source}: {otherwise}.");
        }
    }

    /// <summary>Equal in every field, the lists by their elements.</summary>
    /// <param name="other">The other config.</param>
    /// <returns>Whether they are equal.</returns>
    public bool Equals(BitNetConfig? other) =>
        other is not null
        && (ModelType, VocabSize, HiddenSize, IntermediateSize, NumHiddenLayers, NumAttentionHeads, NumKeyValueHeads, HeadDim)
            == (other.ModelType, other.VocabSize, other.HiddenSize, other.IntermediateSize, other.NumHiddenLayers,
                other.NumAttentionHeads, other.NumKeyValueHeads, other.HeadDim)
        && (MaxPositionEmbeddings, RmsNormEps, RopeTheta, HiddenAct, HasSubNorms, TieWordEmbeddings, BosTokenId, PadTokenId)
            == (other.MaxPositionEmbeddings, other.RmsNormEps, other.RopeTheta, other.HiddenAct, other.HasSubNorms,
                other.TieWordEmbeddings, other.BosTokenId, other.PadTokenId)
        && (InitializerRange, Quantization) == (other.InitializerRange, other.Quantization)
        && EosTokenIds.SequenceEqual(other.EosTokenIds);

    /// <inheritdoc/>
    public override int GetHashCode() =>
        HashCode.Combine(ModelType, VocabSize, HiddenSize, IntermediateSize, NumHiddenLayers, NumAttentionHeads, NumKeyValueHeads);
}
