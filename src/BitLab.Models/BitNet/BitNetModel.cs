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

    /// <summary>Writes the model as it is now, in a form that other programs read; <see cref="BitModel.SavePretrained(string)"/> is for
    /// going on with it here. Masters become trits, or trits masters, where the form asks for it; the model stays as it is. What was
    /// written can be loaded by <see cref="AutoBitModel.FromPretrained"/>.</summary>
    /// <param name="target">A folder, or for GGUF a file; what is there is replaced.</param>
    /// <param name="format">The form.</param>
    /// <param name="options">How; null: floats and scales as float32, so that no value changes beyond what the form does to
    /// it.</param>
    /// <param name="cancellation">Ends the work between tensors.</param>
    /// <exception cref="InvalidOperationException">The model's <see cref="BitModel.QuantConfig"/> is one that the form cannot
    /// express: activations are int8 per token there, and masters are quantized by the mean of all of a layer's
    /// weights.</exception>
    /// <exception cref="InvalidDataException">A layer's size, or a scale a row, is none that the form holds.</exception>
    /// <exception cref="QuantizationException">A latent weight is NaN or infinite.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public void SavePretrained(
        string target, BitNetFormat format, BitNetWriteOptions? options = null, CancellationToken cancellation = default)
    {
        (ActivationDtype, Granularity) activations = (QuantConfig.ActivationDtype, QuantConfig.ActivationGranularity);
        bool isExpressed = activations == (ActivationDtype.Int8, Granularity.PerToken)
            && (format != BitNetFormat.HuggingFaceMaster || IsDeployed || QuantConfig.WeightScale == WeightScale.Absmean);
        if (!isExpressed)
        {
            throw new InvalidOperationException(
                $"{format} cannot say how this model quantizes ({QuantConfig.ToJson()}); SavePretrained without a format can.");
        }
        options ??= new BitNetWriteOptions { Scales = TensorEncoding.F32 };
        BitNetWriter.Write(target, format, new BitNetModelSource(this), options, cancellation);
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
