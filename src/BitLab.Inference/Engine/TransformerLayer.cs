using BitLab.Core;

namespace BitLab.Inference;

/// <summary>The weights of one transformer layer.</summary>
internal sealed class TransformerLayer : IDisposable
{
    public required FloatVector InputNorm { get; init; }

    public required LinearLayer Query { get; init; }

    public required LinearLayer Key { get; init; }

    public required LinearLayer Value { get; init; }

    /// <summary>Before the output projection, or null.</summary>
    public required FloatVector? AttentionSubNorm { get; init; }

    public required LinearLayer Output { get; init; }

    public required FloatVector PostAttentionNorm { get; init; }

    public required LinearLayer Gate { get; init; }

    public required LinearLayer Up { get; init; }

    /// <summary>Before the down projection, or null.</summary>
    public required FloatVector? FeedForwardSubNorm { get; init; }

    public required LinearLayer Down { get; init; }

    public IEnumerable<LinearLayer> Linears => [Query, Key, Value, Output, Gate, Up, Down];

    public static TransformerLayer Read(BitNetCheckpoint checkpoint, int index, BitQuantConfig quantization, WeightArena? arena)
    {
        BitNetConfig config = checkpoint.Config;
        string layer = $"model.layers.{index}.", attention = layer + "self_attn.", mlp = layer + "mlp.";
        int queries = config.NumAttentionHeads * config.HeadDim, keys = config.NumKeyValueHeads * config.HeadDim;
        return new TransformerLayer
        {
            InputNorm = Norm(layer + "input_layernorm"),
            Query = Linear(attention + "q_proj", queries, config.HiddenSize),
            Key = Linear(attention + "k_proj", keys, config.HiddenSize),
            Value = Linear(attention + "v_proj", keys, config.HiddenSize),
            AttentionSubNorm = config.HasSubNorms ? Norm(attention + "attn_sub_norm") : null,
            Output = Linear(attention + "o_proj", config.HiddenSize, queries),
            PostAttentionNorm = Norm(layer + "post_attention_layernorm"),
            Gate = Linear(mlp + "gate_proj", config.IntermediateSize, config.HiddenSize),
            Up = Linear(mlp + "up_proj", config.IntermediateSize, config.HiddenSize),
            FeedForwardSubNorm = config.HasSubNorms ? Norm(mlp + "ffn_sub_norm") : null,
            Down = Linear(mlp + "down_proj", config.HiddenSize, config.IntermediateSize),
        };

        FloatVector Norm(string module) => new(checkpoint.ReadFloats(module + ".weight"));

        LinearLayer Linear(string module, int rows, int columns) =>
            LinearLayer.Read(checkpoint, module, rows, columns, quantization, arena);
    }

    public void Dispose()
    {
        foreach (IDisposable? part in (IEnumerable<IDisposable?>)[.. Linears, InputNorm, AttentionSubNorm, PostAttentionNorm, FeedForwardSubNorm])
            part?.Dispose();
    }
}
