namespace BitLab.Core;

/// <summary>A tensor that a model of some config has.</summary>
/// <param name="Name">Its name in Hugging Face's checkpoints.</param>
/// <param name="Shape">(features), or (out features, in features).</param>
/// <param name="IsLinear">Whether it is the weight of one of the seven linear layers that are ternary in BitNet.</param>
public sealed record BitNetTensor(string Name, IReadOnlyList<long> Shape, bool IsLinear);

public sealed partial record BitNetConfig
{
    internal const string EmbeddingName = "model.embed_tokens.weight";
    internal const string HeadName = "lm_head.weight";
    internal const string WeightSuffix = ".weight";
    internal const string InputNormSuffix = ".rms_norm.weight";

    /// <summary>The tensors of a model, in the order of the layers, by their names in Hugging Face's checkpoints, without the
    /// scales of packed weights.</summary>
    /// <returns>Names and shapes. A model with tied embeddings has no <c>lm_head.weight</c>.</returns>
    public IEnumerable<BitNetTensor> Tensors()
    {
        long queries = (long)NumAttentionHeads * HeadDim, keys = (long)NumKeyValueHeads * HeadDim;
        yield return new BitNetTensor(EmbeddingName, [VocabSize, HiddenSize], false);
        for (int layer = 0; layer < NumHiddenLayers; layer++)
        {
            string prefix = $"model.layers.{layer}.";
            yield return Norm($"{prefix}input_layernorm", HiddenSize);
            foreach (BitNetTensor tensor in Linear($"{prefix}self_attn.q_proj", queries, HiddenSize))
                yield return tensor;
            foreach (BitNetTensor tensor in Linear($"{prefix}self_attn.k_proj", keys, HiddenSize))
                yield return tensor;
            foreach (BitNetTensor tensor in Linear($"{prefix}self_attn.v_proj", keys, HiddenSize))
                yield return tensor;
            if (HasSubNorms)
                yield return Norm($"{prefix}self_attn.attn_sub_norm", queries);
            foreach (BitNetTensor tensor in Linear($"{prefix}self_attn.o_proj", HiddenSize, queries))
                yield return tensor;
            yield return Norm($"{prefix}post_attention_layernorm", HiddenSize);
            foreach (BitNetTensor tensor in Linear($"{prefix}mlp.gate_proj", IntermediateSize, HiddenSize))
                yield return tensor;
            foreach (BitNetTensor tensor in Linear($"{prefix}mlp.up_proj", IntermediateSize, HiddenSize))
                yield return tensor;
            if (HasSubNorms)
                yield return Norm($"{prefix}mlp.ffn_sub_norm", IntermediateSize);
            foreach (BitNetTensor tensor in Linear($"{prefix}mlp.down_proj", HiddenSize, IntermediateSize))
                yield return tensor;
        }
        yield return Norm("model.norm", HiddenSize);
        if (!TieWordEmbeddings)
            yield return new BitNetTensor(HeadName, [VocabSize, HiddenSize], false);

        static BitNetTensor Norm(string module, long features) => new(module + WeightSuffix, [features], false);
    }

    private IEnumerable<BitNetTensor> Linear(string module, long outFeatures, long inFeatures)
    {
        yield return new BitNetTensor(module + WeightSuffix, [outFeatures, inFeatures], true);
        // Only ternary layers normalize.
        if (Quantization is { UseRmsNorm: true } && !Quantization.Excepts(module + WeightSuffix))
            yield return new BitNetTensor(module + InputNormSuffix, [inFeatures], false);
    }
}
