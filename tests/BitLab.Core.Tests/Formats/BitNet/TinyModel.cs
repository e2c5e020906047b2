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

    public void WriteConfig(string folder)
    {
        using FileStream stream = File.Create(Path.Combine(folder, "config.json"));
        using var writer = new Utf8JsonWriter(stream);
        Config.WriteTo(writer);
    }

    /// <summary>Asserts that a checkpoint has this model's tensors, bit by bit.</summary>
    public void AssertIs(BitNetCheckpoint checkpoint, float? scale = null)
    {
        checkpoint.Check();
        foreach ((string name, float[] values) in floats)
            Assert.Equal(values, checkpoint.ReadFloats(name));
        foreach ((string name, sbyte[] values) in trits)
        {
            Assert.Equal(BitNetLinearKind.Ternary, checkpoint.LinearKind(name));
            using PackedTernaryWeights weights = checkpoint.ReadTernary(name);
            sbyte[] read = new sbyte[values.Length];
            weights.Unpack(read);
            Assert.Equal(values, read);
            Assert.Equal(scale ?? Scale, weights.Scales[0]);
        }
    }
}
