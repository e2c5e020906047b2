using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>A BitNet transformer: a causal language model whose linear layers are ternary, and everything else float.</summary>
/// <remarks>
/// <para>Token embedding; layers of grouped-query attention with rotary positions and of a gated feed-forward part, each behind an
/// RMS norm; a last norm; a head. Models of type <c>bitnet</c> (Ma et al. 2025, arXiv:2504.12285) normalize the inputs of the output
/// and down projections too and usually have squared ReLU; models of type <c>llama</c> do not, and have SiLU. Parameters have the names
/// that Hugging Face's library gives them, so checkpoints fit both.</para>
/// <para>In train mode gradients reach every parameter, straight through the quantizers. In eval mode and once deployed none is
/// recorded, and the linear layers multiply packed weights.</para>
/// </remarks>
public sealed class BitNetModel : BitModel
{
    private readonly BitNetDecoder model;
    private readonly nn.Module<Tensor, Tensor>? lm_head;

    /// <summary>Creates a new, untrained model on the CPU, whose matrices begin as normal noise of
    /// <see cref="BitNetConfig.InitializerRange"/>.</summary>
    /// <param name="config">Its architecture. Without a <see cref="BitNetConfig.Quantization"/> it gets one of master
    /// weights.</param>
    /// <param name="quantConfig">How its layers quantize; null: <see cref="BitQuantConfig.Default"/>, BitNet's own recipe.</param>
    /// <exception cref="ArgumentException">The config's numbers do not fit each other.</exception>
    public BitNetModel(BitNetConfig config, BitQuantConfig? quantConfig = null)
        : this(Checked(config), quantConfig ?? BitQuantConfig.Default, parts: null)
    {
    }

    /// <summary>Creates a model of given parts, or an untrained one.</summary>
    internal BitNetModel(BitNetConfig config, BitQuantConfig quantConfig, BitNetParts? parts)
        : base(nameof(BitNetModel), new BitNetModelConfig(WithQuantization(config)), quantConfig)
    {
        parts ??= new NewParts(Architecture, quantConfig);
        model = new BitNetDecoder(config, parts);
        lm_head = config.TieWordEmbeddings
            ? null
            : BitNetParts.FloatLinear(parts.Matrix(nameof(lm_head), config.VocabSize, config.HiddenSize));
        RegisterComponents();
        BitModules.NameLayers(this);
    }

    /// <summary>The sizes of the model and what else its config.json says.</summary>
    public BitNetConfig Architecture => ((BitNetModelConfig)Config).Architecture;

    /// <summary>Whether no linear layer holds float weights that could train.</summary>
    public bool IsDeployed => Layers.All(layer => layer.IsDeployed);

    internal override BitModelConfig ConfigToSave => new BitNetModelConfig(Architecture with
    {
        Quantization = Architecture.Quantization! with
        {
            QuantizationMode = IsDeployed ? BitNetQuantizationMode.Offline : BitNetQuantizationMode.Online,
        },
    });

    private IEnumerable<BitLayerBase> Layers => BitModules.NamedLayers(this).Select(named => named.Layer);

    /// <summary>Computes the logits of whole sequences, none of which is padded.</summary>
    /// <param name="input">(batch, tokens), token numbers of an integer type.</param>
    /// <returns>(batch, tokens, vocabulary): at each token, the logits of the next.</returns>
    /// <exception cref="ArgumentException">The shape or type is another, or a number is no token.</exception>
    /// <exception cref="QuantizationException">In eval mode, a latent weight is NaN or infinite.</exception>
    public override Tensor forward(Tensor input) => forward(input, attentionMask: null);

    /// <summary>Computes the logits of sequences, or of the next part of them.</summary>
    /// <param name="inputIds">(batch, tokens), token numbers of an integer type.</param>
    /// <param name="attentionMask">(batch, tokens), 0 where a token is padding, which may be on either side; null: none is. No other
    /// token sees it; its own logits mean nothing. (That a sequence has the same logits in any batch also needs
    /// activations quantized per token, the default.)</param>
    /// <param name="positionIds">(batch, tokens) or (1, tokens), the position of each token; null: the number of tokens before
    /// it in its sequence, those in the cache included and padding left out.</param>
    /// <param name="cache">Keys and values of the tokens before, to which those of these tokens are added; null: these tokens are the
    /// first and no others follow. Not in train mode.</param>
    /// <returns>(batch, tokens, vocabulary): at each of these tokens, the logits of the next.</returns>
    /// <exception cref="ArgumentException">A shape or type is another, a number is no token, or the cache is that of another
    /// batch or model.</exception>
    /// <exception cref="InvalidOperationException">There is a cache in train mode; it would hold gradients back.</exception>
    /// <exception cref="QuantizationException">In eval mode, a latent weight is NaN or infinite.</exception>
    public Tensor forward(Tensor inputIds, Tensor? attentionMask, Tensor? positionIds = null, BitNetCache? cache = null)
    {
        ArgumentNullException.ThrowIfNull(inputIds);
        if (training && cache is not null)
            throw new InvalidOperationException("A cache keeps no gradients; call eval() first, or train on whole sequences.");
        using DisposeScope scope = NewDisposeScope();
        using IDisposable? noGradients = training ? null : no_grad();
        Tensor hidden = model.Forward(inputIds, attentionMask, positionIds, cache);
        return (lm_head?.call(hidden) ?? nn.functional.linear(hidden, model.Embedding)).MoveToOuterDisposeScope();
    }

    private static BitNetConfig Checked(BitNetConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        try
        {
            config.Check("The config");
        }
        catch (InvalidDataException e)
        {
            throw new ArgumentException(e.Message, nameof(config), e);
        }
        return config;
    }

    private static BitNetConfig WithQuantization(BitNetConfig config) => config.Quantization is not null ? config : config with
    {
        Quantization = new BitNetQuantization
        {
            LinearClass = BitNetLinearClass.AutoBitLinear,
            QuantizationMode = BitNetQuantizationMode.Online,
        },
    };
}
