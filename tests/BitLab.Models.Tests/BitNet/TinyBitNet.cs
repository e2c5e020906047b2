using System.Buffers.Binary;
using System.Text.Json;
using BitLab.Core;

namespace BitLab.Models.Tests;

/// <summary>How a checkpoint holds the linear layers.</summary>
public enum CheckpointForm
{
    /// <summary>Packed, trits multiplied by a bfloat16 scale.</summary>
    Multiply,

    /// <summary>Packed, trits divided by a float32 scale.</summary>
    Divide,

    /// <summary>Master weights in bfloat16.</summary>
    Online,
}

/// <summary>A small random model, and checkpoints of it that are written value by value as docs and format descriptions
/// say.</summary>
internal sealed class TinyBitNet
{
    private readonly Dictionary<string, float[]> values = [];

    public TinyBitNet(BitNetConfig config, int seed)
    {
        Config = config;
        var random = new Random(seed);
        foreach (BitNetTensor tensor in config.Tensors())
        {
            int count = (int)tensor.Shape.Aggregate(1L, (product, size) => product * size);
            bool isNorm = tensor.Shape.Count == 1;
            // All are what bfloat16 holds, so every form has the same values.
            values[tensor.Name] =
            [
                .. Enumerable.Range(0, count).Select(_ =>
                    isNorm ? random.Next(32, 97) / 64f : tensor.IsLinear ? BFloat16((float)Normal(random)) : random.Next(-127, 128) / 64f),
            ];
        }
    }

    /// <summary>BitNet's own shape: sub-norms, squared ReLU, shared key heads, a tied head.</summary>
    public static BitNetConfig BitNet { get; } = new()
    {
        VocabSize = 24,
        HiddenSize = 32,
        IntermediateSize = 48,
        NumHiddenLayers = 2,
        NumAttentionHeads = 4,
        NumKeyValueHeads = 2,
        HeadDim = 8,
        MaxPositionEmbeddings = 64,
        TieWordEmbeddings = true,
        BosTokenId = 1,
        EosTokenIds = [2],
        Quantization = new() { LinearClass = BitNetLinearClass.AutoBitLinear },
    };

    /// <summary>That of Llama: no sub-norms, SiLU, a head of its own, another base of the rotations.</summary>
    public static BitNetConfig Llama { get; } = BitNet with
    {
        ModelType = BitNetConfig.LlamaType,
        NumKeyValueHeads = 1,
        RopeTheta = 10000,
        RmsNormEps = 1e-6f,
        HiddenAct = BitNetActivation.Silu,
        HasSubNorms = false,
        TieWordEmbeddings = false,
        Quantization = new() { LinearClass = BitNetLinearClass.BitLinear },
    };

    /// <summary>Llama's with a norm in front of every linear layer.</summary>
    public static BitNetConfig LlamaWithInputNorms { get; } =
        Llama with { Quantization = Llama.Quantization! with { UseRmsNorm = true } };

    /// <summary>That of the first reproductions: sub-norms, SiLU, a head of keys for each of queries, wider heads.</summary>
    public static BitNetConfig First { get; } =
        BitNet with { NumKeyValueHeads = 4, HeadDim = 10, HiddenAct = BitNetActivation.Silu, TieWordEmbeddings = false };

    public BitNetConfig Config { get; }

    public IReadOnlyDictionary<string, float[]> Values => values;

    /// <summary>The first random model for which no activation is so near the middle of two integers that the last bits of a float
    /// decide.</summary>
    public static TinyBitNet WithClearRounding(BitNetConfig config, CheckpointForm form, params int[][] sequences)
    {
        for (int seed = 0; ; seed++)
        {
            var model = new TinyBitNet(config, seed);
            NaiveBitNet naive = model.Naive(form);
            foreach (int[] sequence in sequences)
                naive.Logits(sequence);
            if (naive.Margin > NaiveBitNet.ClearMargin)
                return model;
        }
    }

    /// <summary>Its arithmetic, in loops of doubles.</summary>
    public NaiveBitNet Naive(CheckpointForm form, bool isInt8 = true) => new(
        Config,
        values.Where(tensor => !IsLinear(tensor.Key)).ToDictionary(),
        values.Keys.Where(IsLinear).ToDictionary(name => name, name => Ternary(name, form)),
        isInt8);

    /// <summary>Trits and scale of a linear layer, as a form has them.</summary>
    public (sbyte[] Trits, float Scale) Ternary(string name, CheckpointForm form)
    {
        float[] weights = values[name];
        double sum = 0;
        foreach (float weight in weights)
            sum += Math.Abs(weight);
        float scale = Math.Max((float)(sum / weights.Length), 1e-5f), reciprocal = 1 / scale;
        sbyte[] trits = [.. weights.Select(weight => (sbyte)Math.Clamp(MathF.Round(weight * reciprocal), -1, 1))];
        return (trits, form switch
        {
            CheckpointForm.Multiply => BFloat16(scale),
            CheckpointForm.Divide => 1 / reciprocal,
            _ => scale,
        });
    }

    /// <summary>config.json and the tensors, in one file or in several.</summary>
    public void Write(string folder, CheckpointForm form, int files = 1)
    {
        WriteConfig(folder, form);
        List<Entry> tensors = [.. Entries(form)];
        if (files == 1)
        {
            WriteSafetensors(Path.Combine(folder, "model.safetensors"), tensors);
            return;
        }
        string FileOf(int file) => $"model-{file + 1:D5}-of-{files:D5}.safetensors";
        for (int file = 0; file < files; file++)
            WriteSafetensors(Path.Combine(folder, FileOf(file)), [.. tensors.Where((_, i) => i % files == file)]);
        File.WriteAllText(Path.Combine(folder, "model.safetensors.index.json"), JsonSerializer.Serialize(new
        {
            metadata = new { total_size = tensors.Sum(tensor => tensor.Bytes.Length) },
            weight_map = tensors.Select((tensor, i) => (tensor.Name, File: FileOf(i % files))).ToDictionary(t => t.Name, t => t.File),
        }));
    }

    public IEnumerable<Entry> Entries(CheckpointForm form)
    {
        foreach (BitNetTensor tensor in Config.Tensors())
        {
            if (!tensor.IsLinear || form == CheckpointForm.Online)
            {
                yield return new Entry(tensor.Name, "BF16", [.. tensor.Shape], BFloat16Bytes(values[tensor.Name]));
                continue;
            }
            (sbyte[] trits, float scale) = Ternary(tensor.Name, form);
            (int rows, int columns) = ((int)tensor.Shape[0], (int)tensor.Shape[1]);
            int quarter = (rows + 3) / 4;
            byte[] packed = new byte[quarter * columns];
            for (int row = 0; row < rows; row++)
            {
                for (int column = 0; column < columns; column++)
                    packed[(row % quarter * columns) + column] |= (byte)((trits[(row * columns) + column] + 1) << (2 * (row / quarter)));
            }
            yield return new Entry(tensor.Name, "U8", [quarter, columns], packed);
            yield return form == CheckpointForm.Multiply
                ? new Entry(tensor.Name + "_scale", "BF16", [1], BFloat16Bytes([scale]))
                : new Entry(tensor.Name + "_scale", "F32", [1], BitConverter.GetBytes(1 / scale));
        }
    }

    /// <summary>The length of the header, the header, the bytes.</summary>
    public static void WriteSafetensors(string path, IReadOnlyList<Entry> tensors)
    {
        var header = new Dictionary<string, object>();
        int offset = 0;
        foreach (Entry tensor in tensors)
        {
            header[tensor.Name] = new { dtype = tensor.Dtype, shape = tensor.Shape, data_offsets = new[] { offset, offset + tensor.Bytes.Length } };
            offset += tensor.Bytes.Length;
        }
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(header), length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, json.Length);
        File.WriteAllBytes(path, [.. length, .. json, .. tensors.SelectMany(tensor => tensor.Bytes)]);
    }

    public void WriteConfig(string folder, CheckpointForm form) =>
        File.WriteAllText(Path.Combine(folder, "config.json"), JsonSerializer.Serialize(new Dictionary<string, object?>
        {
            ["architectures"] = new[] { Config.HasSubNorms ? "BitNetForCausalLM" : "LlamaForCausalLM" },
            ["model_type"] = Config.ModelType,
            ["vocab_size"] = Config.VocabSize,
            ["hidden_size"] = Config.HiddenSize,
            ["intermediate_size"] = Config.IntermediateSize,
            ["num_hidden_layers"] = Config.NumHiddenLayers,
            ["num_attention_heads"] = Config.NumAttentionHeads,
            ["num_key_value_heads"] = Config.NumKeyValueHeads,
            ["head_dim"] = Config.HeadDim,
            ["max_position_embeddings"] = Config.MaxPositionEmbeddings,
            ["rms_norm_eps"] = Config.RmsNormEps,
            ["rope_theta"] = Config.RopeTheta,
            ["hidden_act"] = Config.HiddenAct == BitNetActivation.Relu2 ? "relu2" : "silu",
            ["tie_word_embeddings"] = Config.TieWordEmbeddings,
            ["bos_token_id"] = Config.BosTokenId,
            ["eos_token_id"] = Config.EosTokenIds[0],
            ["quantization_config"] = new Dictionary<string, object>
            {
                ["quant_method"] = "bitnet",
                ["linear_class"] = form == CheckpointForm.Divide ? "bitlinear" : "autobitlinear",
                ["quantization_mode"] = form == CheckpointForm.Online ? "online" : "offline",
                ["use_rms_norm"] = Config.Quantization!.UseRmsNorm,
                ["rms_norm_eps"] = Config.Quantization.RmsNormEps,
            },
        }));

    private static double Normal(Random random) =>
        0.05 * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    private static float BFloat16(float value) => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000);

    private static byte[] BFloat16Bytes(IEnumerable<float> values) =>
        [.. values.SelectMany(value => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)))];

    private bool IsLinear(string name) => name.EndsWith("_proj.weight", StringComparison.Ordinal);

    internal sealed record Entry(string Name, string Dtype, long[] Shape, byte[] Bytes);
}
