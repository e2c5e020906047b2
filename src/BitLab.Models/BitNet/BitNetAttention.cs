using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>Causal attention in which several heads of queries share one of keys and values.</summary>
/// <remarks>Ainslie et al. 2023, arXiv:2305.13245.</remarks>
internal sealed class BitNetAttention : nn.Module
{
    private readonly int index;
    private readonly long keyHeads;
    private readonly long group;
    private readonly long headDim;
    private readonly nn.Module<Tensor, Tensor> q_proj;
    private readonly nn.Module<Tensor, Tensor> k_proj;
    private readonly nn.Module<Tensor, Tensor> v_proj;
    private readonly RMSNorm? attn_sub_norm;
    private readonly nn.Module<Tensor, Tensor> o_proj;

    public BitNetAttention(string path, int index, BitNetConfig config, BitNetParts parts)
        : base(nameof(BitNetAttention))
    {
        this.index = index;
        keyHeads = config.NumKeyValueHeads;
        group = config.NumAttentionHeads / config.NumKeyValueHeads;
        headDim = config.HeadDim;
        long queries = config.NumAttentionHeads * headDim, keys = keyHeads * headDim;
        q_proj = parts.Linear($"{path}.{nameof(q_proj)}", config.HiddenSize, queries);
        k_proj = parts.Linear($"{path}.{nameof(k_proj)}", config.HiddenSize, keys);
        v_proj = parts.Linear($"{path}.{nameof(v_proj)}", config.HiddenSize, keys);
        attn_sub_norm = config.HasSubNorms ? parts.Norm($"{path}.{nameof(attn_sub_norm)}", queries) : null;
        o_proj = parts.Linear($"{path}.{nameof(o_proj)}", queries, config.HiddenSize);
        RegisterComponents();
    }

    /// <param name="input">(batch, tokens, hidden).</param>
    /// <param name="cosines">Of <see cref="RotaryEmbedding.Tables"/>.</param>
    /// <param name="sines">Of <see cref="RotaryEmbedding.Tables"/>.</param>
    /// <param name="sees">Of <see cref="AttentionMask.Of"/>.</param>
    /// <param name="cache">The keys and values before, or null.</param>
    /// <returns>The same shape.</returns>
    public Tensor Forward(Tensor input, Tensor cosines, Tensor sines, Tensor? sees, BitNetCache? cache)
    {
        using DisposeScope scope = NewDisposeScope();
        long batch = input.size(0), tokens = input.size(1);
        Tensor q = RotaryEmbedding.Rotate(q_proj.call(input).view(batch, tokens, keyHeads * group, headDim), cosines, sines);
        Tensor k = RotaryEmbedding.Rotate(k_proj.call(input).view(batch, tokens, keyHeads, headDim), cosines, sines).transpose(1, 2);
        Tensor v = v_proj.call(input).view(batch, tokens, keyHeads, headDim).transpose(1, 2);
        if (cache is not null)
            (k, v) = cache.Append(index, k, v);

        // The queries that share a head of keys are laid behind each other, as if they were tokens: no key is copied.
        q = q.view(batch, tokens, keyHeads, group, headDim).permute(0, 2, 3, 1, 4).reshape(batch, keyHeads, group * tokens, headDim);
        Tensor? mask = group == 1 ? sees : sees?.repeat(1, 1, group, 1);
        Tensor mixed = nn.functional.scaled_dot_product_attention(q, k, v, mask)
            .view(batch, keyHeads, group, tokens, headDim).permute(0, 3, 1, 2, 4).reshape(batch, tokens, -1);
        return o_proj.call(attn_sub_norm?.call(mixed) ?? mixed).MoveToOuterDisposeScope();
    }
}
