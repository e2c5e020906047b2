namespace BitLab.Core.Tests;

[Collection(nameof(CountsWeightBytes))]
public sealed class BitNetCheckpointTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Packed_weights_and_their_scales_are_read()
    {
        var model = new TinyModel(TinyModel.SmallConfig);
        model.WriteHuggingFace(folder);
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(folder);
        Assert.Equal(model.Config, checkpoint.Config);
        Assert.Equal(model.Config.Tensors().Select(tensor => tensor.Name).Order(), checkpoint.TensorNames.Order());
        model.AssertIs(checkpoint);
        Assert.Equal(TensorEncoding.BF16, checkpoint.Tensor("model.norm.weight").Encoding);
        using MappedBytes norm = checkpoint.Map("model.norm.weight");
        checkpoint.Dispose();
        Assert.Equal(TinyModel.BFloat16(model.Floats["model.norm.weight"]), norm.Slice(0, (int)norm.ByteCount).ToArray());
    }

    [Fact]
    public void The_class_of_the_linear_layers_decides_whether_the_scale_divides()
    {
        var model = new TinyModel(TinyModel.SmallConfig with { Quantization = new() });
        model.WriteHuggingFace(folder);
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(folder);
        model.AssertIs(checkpoint, 1f / (1f / TinyModel.Scale));
    }

    [Fact]
    public void Master_weights_are_quantized_as_the_layer_would()
    {
        BitNetConfig config = TinyModel.SmallConfig with { Quantization = new() { QuantizationMode = BitNetQuantizationMode.Online } };
        var random = new Random(5);
        var values = new Dictionary<string, float[]>();
        var tensors = new List<(string, SafetensorsDtype, long[], Action<Stream>)>();
        foreach (BitNetTensor tensor in config.Tensors())
        {
            float[] some = [.. Enumerable.Range(0, (int)tensor.Shape.Aggregate((a, b) => a * b)).Select(_ => random.Next(-99, 99) / 64f)];
            values[tensor.Name] = some;
            tensors.Add(TinyModel.Tensor(tensor.Name, SafetensorsDtype.BF16, [.. tensor.Shape], TinyModel.BFloat16(some)));
        }
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), tensors);
        new TinyModel(config).WriteConfig(folder);
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(folder);
        checkpoint.Check();
        const string Name = "model.layers.1.mlp.down_proj.weight";
        Assert.Equal(BitNetLinearKind.Master, checkpoint.LinearKind(Name));
        Assert.Equal(BitNetLinearKind.Float, checkpoint.LinearKind("lm_head.weight"));
        Assert.Equal(values[Name], checkpoint.ReadFloats(Name));
        using PackedTernaryWeights packed = checkpoint.ReadTernary(Name);
        using PackedTernaryWeights expected = PackedTernaryWeights.Pack(values[Name], 256, 512, Granularity.PerTensor);
        Assert.Equal(expected, packed);
    }

    [Fact]
    public void Panels_are_multiplied_where_they_lie_after_the_checkpoint_is_gone()
    {
        var model = new TinyModel(TinyModel.SmallConfig);
        WritePanels(model, WeightPacking.TwoBit);
        long before = BitLabRuntime.WeightBytesHeld;
        PackedTernaryWeights weights;
        const string Name = "model.layers.0.self_attn.q_proj.weight";
        using (BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(folder))
        {
            model.AssertIs(checkpoint);
            weights = checkpoint.ReadTernary(Name);
        }
        Assert.Equal(before, BitLabRuntime.WeightBytesHeld);
        using (weights)
        {
            sbyte[] trits = new sbyte[256 * 256];
            weights.Unpack(trits);
            Assert.Equal(model.Trits[Name], trits);
        }
        Assert.Throws<ObjectDisposedException>(() => weights.Scales.Length);
    }

    [Fact]
    public void Dense_panels_are_read_as_they_are_or_expanded()
    {
        var model = new TinyModel(TinyModel.SmallConfig);
        WritePanels(model, WeightPacking.Dense);
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(folder);
        model.AssertIs(checkpoint);
        using PackedTernaryWeights dense = checkpoint.ReadTernary("model.layers.0.mlp.up_proj.weight");
        using PackedTernaryWeights twoBit = checkpoint.ReadTernary("model.layers.0.mlp.up_proj.weight", WeightPacking.TwoBit);
        Assert.Equal((WeightPacking.Dense, WeightPacking.TwoBit), (dense.Packing, twoBit.Packing));
        using PackedTernaryWeights back = twoBit.Repack(WeightPacking.Dense);
        Assert.Equal(dense, back);
    }

    [Theory]
    [InlineData("bitnet-b1.58", GgufTensorType.I2_S)]
    [InlineData("bitnet-25", GgufTensorType.TQ1_0)]
    [InlineData("bitnet", GgufTensorType.TQ2_0)]
    [InlineData("bitnet", GgufTensorType.F16)]
    [InlineData("bitnet-b1.58", GgufTensorType.F32)]
    [InlineData("llama", GgufTensorType.I2_S)]
    [InlineData("llama", GgufTensorType.TQ2_0)]
    [InlineData("llama", GgufTensorType.TQ1_0)]
    public void Gguf_files_are_read_under_the_same_names(string architecture, GgufTensorType type)
    {
        bool isLlama = architecture == "llama", isSilu = isLlama || architecture == "bitnet";
        BitNetConfig config = TinyModel.SmallConfig with
        {
            ModelType = isLlama ? "llama" : "bitnet",
            HasSubNorms = !isLlama,
            HiddenAct = isSilu ? BitNetActivation.Silu : BitNetActivation.Relu2,
            TieWordEmbeddings = !isLlama,
        };
        var model = new TinyModel(config);
        string path = Path.Combine(folder, "model.gguf");
        model.WriteGguf(path, architecture, type);
        using (BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(path))
        {
            Assert.Equal(config with { Quantization = null }, checkpoint.Config with { Quantization = null });
            model.AssertIs(checkpoint);
            Assert.NotNull(checkpoint.Gguf);
        }
        if (isLlama)
            return;
        model.WriteGguf(path, architecture, type, scaleBeside: 0.25f);
        using BitNetCheckpoint scaled = BitNetCheckpoint.Open(path);
        model.AssertIs(scaled, 0.25f);
    }

    [Theory]
    [InlineData(0x3800, 0x3800, null)]
    [InlineData(0x3800, 0x0000, "the scale 0")]
    [InlineData(0x3800, 0x3C00, "0.5 and 1")]
    [InlineData(0x3800, 0x7C00, "row 1")]
    public void Blocks_of_a_row_have_one_scale(int first, int second, string? named)
    {
        var model = new TinyModel(TinyModel.SmallConfig with { NumHiddenLayers = 1 });
        string path = Path.Combine(folder, "model.gguf");
        model.WriteGguf(path, "bitnet", GgufTensorType.TQ2_0);
        const string Name = "model.layers.0.mlp.down_proj.weight";
        byte[] bytes = File.ReadAllBytes(path);
        using (GgufFile file = GgufFile.Open(path))
        {
            // Row 1 of two blocks.
            int at = (int)file.Tensors["blk.0.ffn_down.weight"].Offset + 132;
            BitConverter.TryWriteBytes(bytes.AsSpan(at + 64), (ushort)first);
            BitConverter.TryWriteBytes(bytes.AsSpan(at + 130), (ushort)second);
        }
        File.Delete(path);
        File.WriteAllBytes(path, bytes);
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(path);
        if (named is null)
        {
            using PackedTernaryWeights weights = checkpoint.ReadTernary(Name);
            Assert.Equal(Granularity.PerChannel, weights.Granularity);
            Assert.Equal([TinyModel.Scale, .5f, TinyModel.Scale], weights.Scales[..3].ToArray());
            Assert.Equal(Granularity.PerChannel, checkpoint.GranularityOf(Name));
            return;
        }
        string message = Assert.Throws<InvalidDataException>(() => checkpoint.ReadTernary(Name)).Message;
        Assert.Contains(named, message);
        Assert.Contains("'blk.0.ffn_down.weight'", message);
    }

    [Fact]
    public void Blocks_of_zeros_may_have_the_scale_0()
    {
        var model = new TinyModel(TinyModel.SmallConfig with { NumHiddenLayers = 1 });
        string path = Path.Combine(folder, "model.gguf");
        foreach ((GgufTensorType type, int blockBytes, byte[] zero) in new (GgufTensorType, int, byte[])[]
        {
            (GgufTensorType.TQ2_0, 66, [.. Enumerable.Repeat((byte)0x55, 64), 0, 0]),
            (GgufTensorType.TQ1_0, 54, [.. Enumerable.Repeat((byte)0x80, 48), 0x7F, 0x7F, 0x7F, 0x7F, 0, 0]),
        })
        {
            File.Delete(path);
            model.WriteGguf(path, "bitnet", type);
            byte[] bytes = File.ReadAllBytes(path);
            using (GgufFile file = GgufFile.Open(path))
                zero.CopyTo(bytes, (int)file.Tensors["blk.0.ffn_down.weight"].Offset + blockBytes);
            File.Delete(path);
            File.WriteAllBytes(path, bytes);
            using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(path);
            const string Name = "model.layers.0.mlp.down_proj.weight";
            using PackedTernaryWeights weights = checkpoint.ReadTernary(Name);
            Assert.Equal([TinyModel.Scale], weights.Scales.ToArray());
            sbyte[] trits = new sbyte[256 * 512], expected = [.. model.Trits[Name]];
            weights.Unpack(trits);
            expected.AsSpan(256, 256).Clear();
            Assert.Equal(expected, trits);
        }
    }

    [Fact]
    public void All_that_does_not_fit_is_listed_in_one_error()
    {
        var model = new TinyModel(TinyModel.SmallConfig);
        SafetensorsWriter.Write(
            Path.Combine(folder, "model.safetensors"),
            [
                TinyModel.Tensor("model.norm.weight", SafetensorsDtype.F32, [255], new byte[4 * 255]),
                TinyModel.Tensor("model.layers.0.input_layernorm.weight", SafetensorsDtype.I64, [256], new byte[8 * 256]),
                TinyModel.Tensor("model.layers.0.self_attn.q_proj.weight", SafetensorsDtype.U8, [64, 256], new byte[64 * 256]),
                TinyModel.Tensor("model.layers.0.self_attn.k_proj.weight", SafetensorsDtype.U8, [64, 256], new byte[64 * 256]),
                TinyModel.Tensor("model.layers.2.mlp.up_proj.weight", SafetensorsDtype.F32, [1], new byte[4]),
                TinyModel.Tensor("stray.weight_scale", SafetensorsDtype.F32, [1], new byte[4]),
            ]);
        model.WriteConfig(folder);
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(folder);
        string message = Assert.Throws<InvalidDataException>(checkpoint.Check).Message;
        Assert.Contains(folder, message);
        Assert.Contains("'model.norm.weight' is (255), expected (256)", message);
        Assert.Contains("'model.layers.0.input_layernorm.weight' is I64", message);
        Assert.Contains("the scale of 'model.layers.0.self_attn.q_proj.weight' is missing", message);
        Assert.Contains("'model.layers.0.self_attn.k_proj.weight' is (64, 256), expected (32, 256)", message);
        Assert.Contains("'model.layers.1.mlp.down_proj.weight' is missing", message);
        Assert.Contains("'model.layers.2.mlp.up_proj.weight' is unexpected", message);
        Assert.Contains("'stray.weight_scale' is unexpected", message);
        Assert.Contains("(255)", Assert.Throws<InvalidDataException>(() => checkpoint.ReadFloats("model.norm.weight")).Message);
        Assert.Throws<KeyNotFoundException>(() => checkpoint.ReadFloats("lm_head.weight"));
    }

    [Fact]
    public void A_code_that_is_no_trit_is_an_error_that_names_the_tensor()
    {
        var model = new TinyModel(TinyModel.SmallConfig);
        model.WriteHuggingFace(folder);
        string path = Path.Combine(folder, "model.safetensors");
        const string Name = "model.layers.1.mlp.gate_proj.weight";
        long offset;
        using (SafetensorsFile file = SafetensorsFile.Open(path))
            offset = file.Entries[Name].Offset + 1000;
        using (FileStream stream = File.OpenWrite(path))
        {
            stream.Position = offset;
            stream.WriteByte(0b11_01_01_01);
        }
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(folder);
        Assert.Contains($"'{Name}'", Assert.Throws<InvalidDataException>(() => checkpoint.ReadTernary(Name)).Message);
    }

    private void WritePanels(TinyModel model, WeightPacking packing)
    {
        var tensors = new List<(string, SafetensorsDtype, long[], Action<Stream>)>();
        foreach (BitNetTensor tensor in model.Config.Tensors().OrderByDescending(tensor => tensor.IsLinear))
        {
            if (!tensor.IsLinear)
            {
                tensors.Add(TinyModel.Tensor(
                    tensor.Name, SafetensorsDtype.F32, [.. tensor.Shape], TinyModel.Float32(model.Floats[tensor.Name])));
                continue;
            }
            (int rows, int columns) = ((int)tensor.Shape[0], (int)tensor.Shape[1]);
            using PackedTernaryWeights twoBit = PackedTernaryWeights.FromTrits(
                model.Trits[tensor.Name], [TinyModel.Scale], rows, columns, Granularity.PerTensor);
            using PackedTernaryWeights weights = twoBit.Repack(packing);
            using var stream = new MemoryStream();
            PackedTernaryFile.Write(stream, weights);
            byte[] data = stream.ToArray()[64..^4];
            int unit = packing == WeightPacking.Dense ? 512 : 128;
            long panels = (rows + 31) / 32;
            tensors.Add(TinyModel.Tensor(
                tensor.Name[..^7] + ".packed_weight", SafetensorsDtype.U8, [panels, data.Length / panels / unit, unit], data));
        }
        foreach (BitNetTensor tensor in model.Config.Tensors().Where(tensor => tensor.IsLinear))
            tensors.Add(TinyModel.Tensor(tensor.Name + "_scale", SafetensorsDtype.F32, [1], TinyModel.Float32([TinyModel.Scale])));
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), tensors);
        model.WriteConfig(folder);
    }
}
