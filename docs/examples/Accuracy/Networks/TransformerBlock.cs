using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace Accuracy.Networks;

/// <summary>Causal attention with rotary positions, and a layer pair with squared ReLU, each behind an RMSNorm. Normalized, a
/// further RMSNorm stands before the second linear layer of both (SubLN, as in BitNet b1.58 2B4T, arXiv:2504.12285).</summary>
internal sealed class TransformerBlock : nn.Module<Tensor, Tensor, Tensor, Tensor>
{
    private const long MlpRatio = 4;
    private readonly long heads;
    private readonly RMSNorm attention_norm;
    private readonly RMSNorm mlp_norm;
    private readonly RMSNorm? attention_sub_norm;
    private readonly RMSNorm? mlp_sub_norm;
    private readonly nn.Module<Tensor, Tensor> qkv;
    private readonly nn.Module<Tensor, Tensor> attention_out;
    private readonly nn.Module<Tensor, Tensor> up;
    private readonly nn.Module<Tensor, Tensor> down;

    public TransformerBlock(Recipe recipe, long width, long heads) : base(nameof(TransformerBlock))
    {
        this.heads = heads;
        (attention_norm, mlp_norm) = (new RMSNorm(width), new RMSNorm(width));
        if (recipe.IsNormalized)
            (attention_sub_norm, mlp_sub_norm) = (new RMSNorm(width), new RMSNorm(MlpRatio * width));
        qkv = recipe.Linear(width, 3 * width, hasBias: false);
        attention_out = recipe.Linear(width, width, hasBias: false);
        up = recipe.Linear(width, MlpRatio * width, hasBias: false);
        down = recipe.Linear(MlpRatio * width, width, hasBias: false);
        RegisterComponents();
    }

    /// <param name="input">(batch, length, width).</param>
    /// <param name="cos">(length, half the width of a head): the cosines of the positions' angles.</param>
    /// <param name="sin">Their sines.</param>
    public override Tensor forward(Tensor input, Tensor cos, Tensor sin)
    {
        using DisposeScope scope = NewDisposeScope();
        (long batch, long length, long width) = (input.size(0), input.size(1), input.size(2));
        Tensor[] parts = qkv.call(attention_norm.call(input))
            .view(batch, length, 3, heads, width / heads).permute(2, 0, 3, 1, 4).unbind(0);
        Tensor attended = nn.functional.scaled_dot_product_attention(
            Rotate(parts[0], cos, sin), Rotate(parts[1], cos, sin), parts[2], is_casual: true);
        attended = attended.transpose(1, 2).reshape(batch, length, width);
        Tensor x = input + attention_out.call(attention_sub_norm?.call(attended) ?? attended);
        Tensor hidden = nn.functional.relu(up.call(mlp_norm.call(x))).square();
        return (x + down.call(mlp_sub_norm?.call(hidden) ?? hidden)).MoveToOuterDisposeScope();
    }

    // Su et al. 2021, arXiv:2104.09864: pairs of features turn by the position's angle.
    private static Tensor Rotate(Tensor x, Tensor cos, Tensor sin)
    {
        Tensor[] halves = x.chunk(2, dim: -1);
        return cat([(halves[0] * cos) - (halves[1] * sin), (halves[1] * cos) + (halves[0] * sin)], dim: -1);
    }
}
