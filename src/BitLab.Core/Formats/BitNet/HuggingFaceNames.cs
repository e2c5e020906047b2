namespace BitLab.Core;

/// <summary>From the names in a safetensors checkpoint to tensors: which are weights, which their scales, and what is under an
/// older name.</summary>
internal static class HuggingFaceNames
{
    public const string PackedSuffix = ".packed_weight";
    public const string ScaleSuffix = ".weight_scale";

    private static readonly (string Old, string New)[] Renamed =
    [
        (".self_attn.inner_attn_ln.weight", ".self_attn.attn_sub_norm.weight"),
        (".mlp.ffn_layernorm.weight", ".mlp.ffn_sub_norm.weight"),
    ];

    /// <summary>The tensors of some files, by Hugging Face's names; packed weights have their scales beside them.</summary>
    /// <exception cref="InvalidDataException">Two are the same tensor.</exception>
    public static Dictionary<string, CheckpointTensor> Read(ShardedSafetensors files)
    {
        var tensors = new Dictionary<string, CheckpointTensor>(StringComparer.Ordinal);
        foreach ((SafetensorsFile file, SafetensorsEntry entry) in files.Tensors.Values)
        {
            // Tables that follow from the config.
            if (entry.Name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal))
                continue;
            var tensor = new CheckpointTensor(
                CanonicalName(entry.Name), entry.Name, entry.Dtype.ToString(), EncodingOf(entry), entry.Shape, entry.ByteCount,
                file.Path, () => file.Map(entry));
            if (!tensors.TryAdd(tensor.Name, tensor))
            {
                throw new InvalidDataException(
                    $"'{file.Path}' holds tensor '{tensor.Name}' twice: as '{entry.Name}' and '{tensors[tensor.Name].StoredName}'.");
            }
        }
        foreach (SafetensorsFile file in files.Files)
        {
            // A layout that is not known would be multiplied as if it were.
            if (file.Metadata.TryGetValue(BitNetWriter.LayoutKey, out string? layout) && layout is not ("1" or "2"))
                throw new InvalidDataException($"'{file.Path}' holds weights in layout '{layout}'; this BitLab reads layouts 1 and 2.");
        }
        foreach (CheckpointTensor scale in tensors.Values.Where(t => t.Name.EndsWith(ScaleSuffix, StringComparison.Ordinal)).ToList())
        {
            if (tensors.TryGetValue(scale.Name[..^ScaleSuffix.Length] + BitNetConfig.WeightSuffix, out CheckpointTensor? weight))
            {
                weight.Scale = scale;
                tensors.Remove(scale.Name);
            }
        }
        return tensors;
    }

    private static string CanonicalName(string name)
    {
        if (name.EndsWith(PackedSuffix, StringComparison.Ordinal))
            return name[..^PackedSuffix.Length] + BitNetConfig.WeightSuffix;
        foreach ((string old, string now) in Renamed)
        {
            if (name.EndsWith(old, StringComparison.Ordinal))
                return name[..^old.Length] + now;
        }
        return name;
    }

    private static TensorEncoding EncodingOf(SafetensorsEntry entry) => entry.Dtype switch
    {
        SafetensorsDtype.F32 => TensorEncoding.F32,
        SafetensorsDtype.F16 => TensorEncoding.F16,
        SafetensorsDtype.BF16 => TensorEncoding.BF16,
        SafetensorsDtype.U8 when entry.Name.EndsWith(PackedSuffix, StringComparison.Ordinal) && entry.Shape.Count == 3 =>
            entry.Shape[2] == PanelLayout.DenseBytes ? TensorEncoding.DensePanels : TensorEncoding.Panels,
        SafetensorsDtype.U8 when entry.Shape.Count == 2 => TensorEncoding.HuggingFace,
        _ => TensorEncoding.Other,
    };
}
