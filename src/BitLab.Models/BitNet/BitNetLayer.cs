using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>A layer of the transformer: attention, then the feed-forward part, each added to what came in.</summary>
internal sealed class BitNetLayer : nn.Module
{
    private readonly RMSNorm input_layernorm;
    private readonly BitNetAttention self_attn;
    private readonly RMSNorm post_attention_layernorm;
    private readonly BitNetFeedForward mlp;

    public BitNetLayer(int index, BitNetConfig config, BitNetParts parts)
        : base(nameof(BitNetLayer))
    {
        string path = $"model.layers.{index}";
        input_layernorm = parts.Norm($"{path}.{nameof(input_layernorm)}", config.HiddenSize);
        self_attn = new BitNetAttention($"{path}.{nameof(self_attn)}", index, config, parts);
        post_attention_layernorm = parts.Norm($"{path}.{nameof(post_attention_layernorm)}", config.HiddenSize);
        mlp = new BitNetFeedForward($"{path}.{nameof(mlp)}", config, parts);
        RegisterComponents();
    }

    /// <param name="hidden">(batch, tokens, hidden).</param>
    /// <returns>The same shape.</returns>
    public Tensor Forward(Tensor hidden, Tensor cosines, Tensor sines, Tensor? sees, BitNetCache? cache)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor attended = hidden + self_attn.Forward(input_layernorm.call(hidden), cosines, sines, sees, cache);
        return (attended + mlp.call(post_attention_layernorm.call(attended))).MoveToOuterDisposeScope();
    }
}
