using System.Runtime.InteropServices;
using BitLab.Core;

namespace BitLab.Inference.Tests;

public sealed class BitMlpRunnerTests : IDisposable
{
    private static readonly int[] Widths = [20, 9, 9, 4];

    private readonly string folder = Directory.CreateTempSubdirectory("bitlab-mlp-").FullName;
    private readonly float[][] weights = [.. Enumerable.Range(0, 3).Select(i => FloatKernelTests.Floats(Widths[i] * Widths[i + 1], 20 + i))];
    private readonly float[][] biases = [.. Enumerable.Range(0, 3).Select(i => FloatKernelTests.Floats(Widths[i + 1], 30 + i))];

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData(Granularity.PerTensor, true)]
    [InlineData(Granularity.PerChannel, true)]
    [InlineData(Granularity.PerTensor, false)]
    public void Outputs_are_those_of_the_formula(Granularity granularity, bool isDeployed)
    {
        var quantization = new BitQuantConfig { WeightGranularity = granularity };
        Write(quantization, isDeployed);
        using BitMlpRunner model = BitMlpRunner.Load(folder);
        Assert.Equal((20, 4), (model.InChannels, model.OutChannels));
        float[] inputs = FloatKernelTests.Floats(5 * 20, 40), outputs = new float[5 * 4];
        model.Run(inputs, outputs);
        for (int row = 0; row < 5; row++)
        {
            double[] x = [.. inputs.Skip(20 * row).Take(20).Select(value => (double)value)];
            double[] expected = Forward(x, quantization);
            for (int i = 0; i < 4; i++)
                Assert.Equal(expected[i], outputs[(4 * row) + i], 1e-4);
            int largest = Array.IndexOf(expected, expected.Max());
            Assert.Equal(largest, model.Classify(inputs.AsSpan(20 * row, 20)));
        }
    }

    [Fact]
    public void Classifying_allocates_nothing()
    {
        Write(BitQuantConfig.Default, isDeployed: true);
        using BitMlpRunner model = BitMlpRunner.Load(folder);
        float[] input = FloatKernelTests.Floats(20, 41);
        for (int i = 0; i < 3; i++)
            model.Classify(input);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 20; i++)
            model.Classify(input);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Theory]
    [InlineData("\"n_layers\": 3", "\"n_layers\": 2", "3 layers")]
    [InlineData("\"n_layers\": 3", "\"n_layers\": 0", "n_layers")]
    [InlineData("\"hidden_dim\": 9", "\"hidden_dim\": 10", "layers.0.bias")]
    [InlineData("\"in_channels\": 20", "\"in_channels\": 2000000000", "in_channels")]
    [InlineData("bit_mlp", "bitnet", "model_type")]
    [InlineData("\"n_layers\"", "\"layer\": \"Linear\", \"n_layers\"", "layer")]
    [InlineData("per_tensor", "per_channel", "layers.0.weight_scale")]
    public void What_does_not_fit_is_named(string of, string becomes, string expected)
    {
        Write(BitQuantConfig.Default, isDeployed: true);
        string path = Path.Combine(folder, "config.json"), json = File.ReadAllText(path);
        Assert.Contains(of, json, StringComparison.Ordinal);
        File.WriteAllText(path, json.Replace(of, becomes, StringComparison.Ordinal));
        Assert.Contains(expected, Assert.Throws<InvalidDataException>(() => BitMlpRunner.Load(folder)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Damaged_weights_are_refused()
    {
        Write(BitQuantConfig.Default, isDeployed: true);
        string path = Path.Combine(folder, "model.safetensors");
        byte[] bytes = File.ReadAllBytes(path);
        using (SafetensorsFile file = SafetensorsFile.Open(path))
            bytes[file.Entries["layers.2.packed_weight"].Offset] = 0xFF;
        File.WriteAllBytes(path, bytes);
        Assert.Contains("layers.2", Assert.Throws<InvalidDataException>(() => BitMlpRunner.Load(folder)).Message, StringComparison.Ordinal);
    }

    private void Write(BitQuantConfig quantization, bool isDeployed)
    {
        File.WriteAllText(Path.Combine(folder, "config.json"), $$"""
            {"model_type": "bit_mlp", "n_layers": 3, "in_channels": 20, "hidden_dim": 9, "out_channels": 4, "dropout": 0,
             "quant_config": {{quantization.ToJson()}}}
            """);
        var tensors = new List<(string, SafetensorsDtype, long[], Action<Stream>)>();
        for (int i = 0; i < 3; i++)
        {
            int rows = Widths[i + 1], columns = Widths[i], layer = i;
            string module = $"layers.{2 * i}.";
            tensors.Add((module + "bias", SafetensorsDtype.F32, [rows], stream => stream.Write(MemoryMarshal.AsBytes<float>(biases[layer]))));
            if (!isDeployed)
            {
                tensors.Add((module + "weight", SafetensorsDtype.F32, [rows, columns], stream => stream.Write(MemoryMarshal.AsBytes<float>(weights[layer]))));
                continue;
            }
            using PackedTernaryWeights packed = PackedTernaryWeights.Pack(weights[i], rows, columns, quantization.WeightGranularity);
            byte[] panels = packed.Panel(0).ToArray();
            float[] scales = packed.Scales.ToArray();
            tensors.Add((module + "packed_weight", SafetensorsDtype.U8, PanelLayout.Shape(rows, columns, WeightPacking.TwoBit), stream => stream.Write(panels)));
            tensors.Add((module + "weight_scale", SafetensorsDtype.F32, [scales.Length], stream => stream.Write(MemoryMarshal.AsBytes<float>(scales))));
        }
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), tensors);
    }

    private double[] Forward(double[] x, BitQuantConfig quantization)
    {
        for (int i = 0; i < 3; i++)
        {
            int rows = Widths[i + 1], columns = Widths[i];
            float range = MathF.Max(x.Max(value => MathF.Abs((float)value)), 1e-5f);
            double[] q = [.. x.Select(value => Math.Clamp(MathF.Round((float)value * (127f / range)), -128, 127) * (double)range / 127)];
            using PackedTernaryWeights packed = PackedTernaryWeights.Pack(weights[i], rows, columns, quantization.WeightGranularity);
            float[] w = new float[rows * columns];
            packed.Unpack(w);
            int layer = i;
            x = [.. Enumerable.Range(0, rows).Select(r => Enumerable.Range(0, columns).Sum(c => w[(r * columns) + c] * q[c]) + biases[layer][r])];
            if (i < 2)
                x = [.. x.Select(value => Math.Max(value, 0))];
        }
        return x;
    }
}
