using System.Runtime.InteropServices;
using System.Text.Json;

namespace BitLab.Core.Tests;

/// <summary>A small model that tests write in every form, by loops that follow the formats' descriptions and share nothing with
/// what they test.</summary>
internal sealed class TinyModel
{
    private readonly Dictionary<string, float[]> floats = [];
    private readonly Dictionary<string, sbyte[]> trits = [];

    public TinyModel(BitNetConfig config, int seed = 1)
    {
        Config = config;
        var random = new Random(seed);
        foreach (BitNetTensor tensor in config.Tensors())
        {
            int count = (int)tensor.Shape.Aggregate(1L, (product, size) => product * size);
            // Multiples of 1/64 below 4: floats of 16 bits hold them.
            if (!tensor.IsLinear)
                floats[tensor.Name] = [.. Enumerable.Range(0, count).Select(_ => random.Next(-255, 256) / 64f)];
            else
                trits[tensor.Name] = [.. Enumerable.Range(0, count).Select(_ => (sbyte)random.Next(-1, 2))];
        }
    }

    public static BitNetConfig SmallConfig { get; } = new()
    {
        VocabSize = 48,
        HiddenSize = 256,
        IntermediateSize = 512,
        NumHiddenLayers = 2,
        NumAttentionHeads = 4,
        NumKeyValueHeads = 2,
        HeadDim = 64,
        MaxPositionEmbeddings = 64,
        BosTokenId = 1,
        EosTokenIds = [2],
        Quantization = new() { LinearClass = BitNetLinearClass.AutoBitLinear },
    };

    public BitNetConfig Config { get; }

    public IReadOnlyDictionary<string, float[]> Floats => floats;

    public IReadOnlyDictionary<string, sbyte[]> Trits => trits;

    /// <summary>The scale of every linear layer: a power of two and a bit, which bfloat16 and half hold.</summary>
    public static float Scale => 0.015625f * 1.5f;

    public static (string Name, SafetensorsDtype Dtype, long[] Shape, Action<Stream> WriteTo) Tensor(
        string name, SafetensorsDtype dtype, long[] shape, byte[] bytes) => (name, dtype, shape, stream => stream.Write(bytes));

    public static byte[] BFloat16(IEnumerable<float> values) =>
        [.. values.SelectMany(value => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)))];

    public static byte[] Float32(IEnumerable<float> values) => MemoryMarshal.AsBytes<float>(values.ToArray()).ToArray();

    /// <summary>Hugging Face's packing: a value a time.</summary>
    public static byte[] HuggingFace(sbyte[] trits, int rows, int columns)
    {
        int quarter = (rows + 3) / 4;
        byte[] packed = new byte[quarter * columns];
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < columns; column++)
                packed[(row % quarter * columns) + column] |= (byte)((trits[(row * columns) + column] + 1) << (2 * (row / quarter)));
        }
        return packed;
    }

    /// <summary>config.json and model.safetensors with packed weights.</summary>
    public void WriteHuggingFace(string folder)
    {
        var tensors = new List<(string, SafetensorsDtype, long[], Action<Stream>)>();
        bool divides = Config.Quantization!.LinearClass == BitNetLinearClass.BitLinear;
        foreach (BitNetTensor tensor in Config.Tensors())
        {
            if (tensor.IsLinear)
            {
                (int rows, int columns) = ((int)tensor.Shape[0], (int)tensor.Shape[1]);
                byte[] packed = HuggingFace(trits[tensor.Name], rows, columns);
                tensors.Add(Tensor(tensor.Name, SafetensorsDtype.U8, [packed.Length / columns, columns], packed));
                tensors.Add(divides
                    ? Tensor(tensor.Name + "_scale", SafetensorsDtype.F32, [1], Float32([1 / Scale]))
                    : Tensor(tensor.Name + "_scale", SafetensorsDtype.BF16, [1], BFloat16([Scale])));
            }
            else
            {
                tensors.Add(Tensor(tensor.Name, SafetensorsDtype.BF16, [.. tensor.Shape], BFloat16(floats[tensor.Name])));
            }
        }
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), tensors);
        WriteConfig(folder);
    }

    /// <summary>A GGUF file of some architecture, its linear layers of a type; tensors of scales beside them on request.</summary>
    public void WriteGguf(string path, string architecture, GgufTensorType type, float? scaleBeside = null)
    {
        var file = new HandWrittenGguf()
            .Value("general.architecture", 8, HandWrittenGguf.Text(architecture))
            .Value("general.file_type", 4, BitConverter.GetBytes(type == GgufTensorType.I2_S ? 40u : 1u));
        foreach ((string key, int value) in new[]
        {
            ("vocab_size", Config.VocabSize), ("context_length", Config.MaxPositionEmbeddings), ("embedding_length", Config.HiddenSize),
            ("block_count", Config.NumHiddenLayers), ("feed_forward_length", Config.IntermediateSize),
            ("rope.dimension_count", Config.HeadDim), ("attention.head_count", Config.NumAttentionHeads),
            ("attention.head_count_kv", Config.NumKeyValueHeads),
        })
        {
            file.Value($"{architecture}.{key}", 4, BitConverter.GetBytes((uint)value));
        }
        file.Value($"{architecture}.attention.layer_norm_rms_epsilon", 6, BitConverter.GetBytes(Config.RmsNormEps));
        file.Value($"{architecture}.rope.freq_base", 6, BitConverter.GetBytes(Config.RopeTheta));
        file.Value("tokenizer.ggml.bos_token_id", 4, BitConverter.GetBytes(1u));
        file.Value("tokenizer.ggml.eos_token_id", 4, BitConverter.GetBytes(2u));
        foreach (BitNetTensor tensor in Config.Tensors())
        {
            string name = GgufName(tensor.Name);
            ulong[] sizes = [.. tensor.Shape.Reverse().Select(size => (ulong)size)];
            if (!tensor.IsLinear)
            {
                bool isHalf = tensor.Shape.Count == 2;
                byte[] bytes = isHalf
                    ? [.. floats[tensor.Name].SelectMany(value => BitConverter.GetBytes((Half)value))]
                    : Float32(floats[tensor.Name]);
                file.Tensor(name, isHalf ? 1u : 0u, sizes, bytes);
                continue;
            }
            int columns = (int)tensor.Shape[1];
            sbyte[] ordered = trits[tensor.Name];
            if (architecture == "llama" && (name.Contains("attn_q") || name.Contains("attn_k")))
                ordered = RotateNeighbours(ordered, columns);
            float scale = scaleBeside is null ? Scale : 1;
            file.Tensor(name, type == GgufTensorType.I2_S ? 36u : (uint)type, sizes, type switch
            {
                GgufTensorType.I2_S => [.. SlowGguf.Pack(TensorEncoding.I2_S, ordered, columns, 0), .. BitConverter.GetBytes(scale), .. new byte[28]],
                GgufTensorType.TQ1_0 => SlowGguf.Pack(TensorEncoding.TQ1_0, ordered, columns, scale),
                GgufTensorType.TQ2_0 => SlowGguf.Pack(TensorEncoding.TQ2_0, ordered, columns, scale),
                GgufTensorType.F16 => [.. ordered.SelectMany(trit => BitConverter.GetBytes((Half)(trit * scale)))],
                _ => Float32(ordered.Select(trit => trit * scale)),
            });
            if (scaleBeside is float beside)
                file.Tensor(name.Replace(".weight", ".scale"), 0, [1], BitConverter.GetBytes(beside));
        }
        File.WriteAllBytes(path, file.ToArray());
    }

    private static string GgufName(string name) => name
        .Replace("model.embed_tokens.", "token_embd.").Replace("lm_head.", "output.").Replace("model.norm.", "output_norm.")
        .Replace("model.layers.", "blk.").Replace("input_layernorm", "attn_norm").Replace("post_attention_layernorm", "ffn_norm")
        .Replace("self_attn.attn_sub_norm", "attn_sub_norm").Replace("mlp.ffn_sub_norm", "ffn_sub_norm")
        .Replace("self_attn.q_proj", "attn_q").Replace("self_attn.k_proj", "attn_k").Replace("self_attn.v_proj", "attn_v")
        .Replace("self_attn.o_proj", "attn_output").Replace("mlp.gate_proj", "ffn_gate").Replace("mlp.up_proj", "ffn_up")
        .Replace("mlp.down_proj", "ffn_down");

    // reshape(heads, 2, d / 2, in).swapaxes(1, 2) of the converters.
    private sbyte[] RotateNeighbours(sbyte[] rows, int columns)
    {
        int half = Config.HeadDim / 2;
        var rotated = new List<sbyte>();
        for (int head = 0; head < rows.Length / columns / Config.HeadDim; head++)
        {
            for (int j = 0; j < half; j++)
            {
                for (int s = 0; s < 2; s++)
                {
                    int row = (head * Config.HeadDim) + (s * half) + j;
                    rotated.AddRange(rows[(row * columns)..((row + 1) * columns)]);
                }
            }
        }
        return [.. rotated];
    }

    public void WriteConfig(string folder)
    {
        using FileStream stream = File.Create(Path.Combine(folder, "config.json"));
        using var writer = new Utf8JsonWriter(stream);
        Config.WriteTo(writer);
    }

    /// <summary>Asserts that a checkpoint has this model's tensors, bit by bit.</summary>
    public void AssertIs(
        BitNetCheckpoint checkpoint, float? scale = null, float tolerance = 0, BitNetLinearKind kind = BitNetLinearKind.Ternary)
    {
        checkpoint.Check();
        foreach ((string name, float[] values) in floats)
            Assert.Equal(values, checkpoint.ReadFloats(name));
        foreach ((string name, sbyte[] values) in trits)
        {
            Assert.Equal(kind, checkpoint.LinearKind(name));
            using PackedTernaryWeights weights = checkpoint.ReadTernary(name);
            sbyte[] read = new sbyte[values.Length];
            weights.Unpack(read);
            Assert.Equal(values, read);
            Assert.InRange(weights.Scales[0], (scale ?? Scale) - tolerance, (scale ?? Scale) + tolerance);
        }
    }
}
