namespace BitLab.Core;

/// <summary>From the tensor names of llama.cpp to Hugging Face's, and back.</summary>
internal static class GgufNames
{
    private const string BlockPrefix = "blk.", LayerPrefix = "model.layers.";
    private const string ScaleSuffix = ".scale";

    private static readonly (string Gguf, string HuggingFace)[] Whole =
    [
        ("token_embd.weight", BitNetConfig.EmbeddingName),
        ("output_norm.weight", "model.norm.weight"),
        ("output.weight", BitNetConfig.HeadName),
    ];

    private static readonly (string Gguf, string HuggingFace)[] InLayer =
    [
        ("attn_norm.weight", "input_layernorm.weight"),
        ("attn_q.weight", "self_attn.q_proj.weight"),
        ("attn_k.weight", "self_attn.k_proj.weight"),
        ("attn_v.weight", "self_attn.v_proj.weight"),
        ("attn_sub_norm.weight", "self_attn.attn_sub_norm.weight"),
        ("attn_output.weight", "self_attn.o_proj.weight"),
        ("ffn_norm.weight", "post_attention_layernorm.weight"),
        ("ffn_gate.weight", "mlp.gate_proj.weight"),
        ("ffn_up.weight", "mlp.up_proj.weight"),
        ("ffn_sub_norm.weight", "mlp.ffn_sub_norm.weight"),
        ("ffn_down.weight", "mlp.down_proj.weight"),
    ];

    /// <summary>The tensors of a file, by Hugging Face's names; weights have their <c>.scale</c> tensors beside them.</summary>
    public static Dictionary<string, CheckpointTensor> Read(GgufFile file, BitNetConfig config)
    {
        var tensors = new Dictionary<string, CheckpointTensor>(StringComparer.Ordinal);
        foreach (GgufTensor tensor in file.Tensors.Values)
        {
            // Tables that follow from the config.
            if (tensor.Name == "rope_freqs.weight")
                continue;
            string name = ToHuggingFace(tensor.Name);
            tensors.Add(name, new CheckpointTensor(
                name, tensor.Name, tensor.Type.ToString(), tensor.Type.Encoding(), tensor.Shape, tensor.ByteCount,
                file.Path, () => file.Map(tensor))
            {
                Order = OrderOf(name, config),
                MayBeTernaryFloats = true,
            });
        }
        foreach (CheckpointTensor scale in tensors.Values.Where(t => t.Name.EndsWith(ScaleSuffix, StringComparison.Ordinal)).ToList())
        {
            string weightName = ToHuggingFace(scale.Name[..^ScaleSuffix.Length] + BitNetConfig.WeightSuffix);
            if (tensors.TryGetValue(weightName, out CheckpointTensor? weight))
            {
                weight.Scale = scale;
                tensors.Remove(scale.Name);
            }
        }
        return tensors;
    }

    /// <summary>llama.cpp's name of a tensor.</summary>
    /// <exception cref="ArgumentException">It has none.</exception>
    public static string FromHuggingFace(string name)
    {
        foreach ((string gguf, string huggingFace) in Whole)
        {
            if (huggingFace == name)
                return gguf;
        }
        string rest = name.StartsWith(LayerPrefix, StringComparison.Ordinal) ? name[LayerPrefix.Length..] : "";
        int dot = rest.IndexOf('.', StringComparison.Ordinal);
        foreach ((string gguf, string huggingFace) in InLayer)
        {
            if (dot > 0 && rest[(dot + 1)..] == huggingFace)
                return $"{BlockPrefix}{rest[..dot]}.{gguf}";
        }
        throw new ArgumentException($"GGUF files have no name for '{name}'.", nameof(name));
    }

    /// <summary>The order in which files hold a tensor's rows.</summary>
    public static RowOrder OrderOf(string name, BitNetConfig config)
    {
        bool isRotated = config.ModelType == BitNetConfig.LlamaType
            && (name.EndsWith(".q_proj.weight", StringComparison.Ordinal) || name.EndsWith(".k_proj.weight", StringComparison.Ordinal));
        return isRotated ? new RowOrder(config.HeadDim) : default;
    }

    // A name that is none of a model's stays as it is, and is unexpected.
    private static string ToHuggingFace(string name)
    {
        foreach ((string gguf, string huggingFace) in Whole)
        {
            if (gguf == name)
                return huggingFace;
        }
        string rest = name.StartsWith(BlockPrefix, StringComparison.Ordinal) ? name[BlockPrefix.Length..] : "";
        int dot = rest.IndexOf('.', StringComparison.Ordinal);
        foreach ((string gguf, string huggingFace) in InLayer)
        {
            if (dot > 0 && rest[(dot + 1)..] == gguf)
                return $"{LayerPrefix}{rest[..dot]}.{huggingFace}";
        }
        return name;
    }
}
