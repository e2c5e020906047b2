using System.Text.Json;
using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Models.Tests;

public class BitNetSavingTests
{
    // Every linear layer has a multiple of 256 columns, as TQ1_0 and TQ2_0 need.
    private static readonly BitNetConfig Wide = TinyBitNet.BitNet with { HiddenSize = 256, IntermediateSize = 512, HeadDim = 64 };

    private static Tensor Ids => tensor(new long[,] { { 1, 17, 5, 23, 0 }, { 3, 3, 8, 2, 11 } });

    public static TheoryData<BitNetConfig, BitQuantConfig, string> EveryState()
    {
        var data = new TheoryData<BitNetConfig, BitQuantConfig, string>();
        foreach (BitNetConfig config in new[] { TinyBitNet.BitNet, TinyBitNet.LlamaWithInputNorms })
        {
            foreach (BitQuantConfig quantConfig in new[]
            {
                BitQuantConfig.Default,
                new() { WeightGranularity = Granularity.PerChannel },
                new() { ActivationDtype = ActivationDtype.Float32, WeightScale = WeightScale.Absmedian, Gradient = StraightThroughGradient.Clipped },
            })
            {
                foreach (string state in new[] { "train", "eval", "deployed", "dense" })
                    data.Add(config, quantConfig, state);
            }
        }
        return data;
    }

    [Theory, MemberData(nameof(EveryState))]
    public void A_saved_model_of_every_state_comes_back_with_the_same_bits(BitNetConfig config, BitQuantConfig quantConfig, string state)
    {
        using DisposeScope scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        using var model = new BitNetModel(config, quantConfig);
        if (state is "deployed" or "dense")
            BitModules.Deploy(model, state == "dense" ? WeightPacking.Dense : null);
        else
            model.train(state == "train");
        model.SavePretrained(folder.Path);
        model.eval();
        using BitModel loaded = AutoBitModel.FromPretrained(folder.Path);
        Assert.IsType<BitNetModel>(loaded);
        Assert.Equal(quantConfig, loaded.QuantConfig);
        Assert.False(loaded.training);
        Assert.Equal(model.state_dict().Keys.Order(), loaded.state_dict().Keys.Order());
        Assert.All(loaded.state_dict(), tensor => Assert.True(tensor.Value.Equals(model.state_dict()[tensor.Key]), tensor.Key));
        Assert.True(model.call(Ids).Equals(loaded.call(Ids)));
        Assert.Equal(model.IsDeployed ? BitNetQuantizationMode.Offline : BitNetQuantizationMode.Online, ((BitNetModel)loaded).Architecture.Quantization!.QuantizationMode);
        using JsonDocument written = JsonDocument.Parse(File.ReadAllBytes(folder["config.json"]));
        Assert.Equal(config.ModelType, written.RootElement.EnumerateObject().Single(field => field.Name == "model_type").Value.GetString());
        Assert.Equal(["config.json", "model.safetensors"], Directory.GetFiles(folder.Path).Select(Path.GetFileName).Order());
    }

    public static TheoryData<BitNetFormat, bool> EveryFormat()
    {
        var data = new TheoryData<BitNetFormat, bool>();
        foreach (BitNetFormat format in Enum.GetValues<BitNetFormat>())
        {
            data.Add(format, true);
            data.Add(format, false);
        }
        return data;
    }

    [Theory, MemberData(nameof(EveryFormat))]
    public void A_model_goes_through_every_format_and_back(BitNetFormat format, bool isDeployed)
    {
        using DisposeScope scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        using var model = new BitNetModel(Wide with { Quantization = null, NumHiddenLayers = 1 });
        using (no_grad())
        {
            // So that every form holds all values exactly: masters of one magnitude, exactly half of them zero.
            foreach (BitLinear layer in model.named_modules().Select(m => m.module).OfType<BitLinear>())
            {
                Tensor order = randperm(layer.weight!.numel()).view(layer.weight.shape);
                layer.weight.copy_(order.remainder(2) * ((order.remainder(4) - 2) / 32f));
            }
            foreach ((string name, Parameter parameter) in model.named_parameters())
            {
                if (!name.EndsWith("_proj.weight"))
                    parameter.copy_(parameter.to(ScalarType.BFloat16));
            }
        }
        model.eval();
        if (isDeployed)
            model.Deploy();
        Tensor expected = model.call(Ids);
        bool isGguf = format is BitNetFormat.GgufI2S or BitNetFormat.GgufTQ1 or BitNetFormat.GgufTQ2;
        string target = isGguf ? folder["model.gguf"] : folder.Path;
        model.SavePretrained(target, format);
        Assert.Equal(isDeployed, model.IsDeployed);
        using var loaded = (BitNetModel)AutoBitModel.FromPretrained(target);
        Assert.Equal(format != BitNetFormat.HuggingFaceMaster, loaded.IsDeployed);
        Assert.True(expected.Equals(loaded.call(Ids)), format.ToString());
    }

    [Theory]
    [InlineData(BitNetFormat.BitLab)]
    [InlineData(BitNetFormat.BitLabDense)]
    [InlineData(BitNetFormat.HuggingFace)]
    [InlineData(BitNetFormat.GgufI2S)]
    public void Scales_and_floats_lose_nothing_unless_they_are_told_to(BitNetFormat format)
    {
        using DisposeScope scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        using var model = new BitNetModel(Wide);
        string target = format == BitNetFormat.GgufI2S ? folder["model.gguf"] : folder.Path;
        model.SavePretrained(target, format);
        Assert.True(model.training);
        model.eval();
        Tensor expected = model.call(Ids);
        using BitModel loaded = AutoBitModel.FromPretrained(target);
        Assert.True(expected.Equals(loaded.call(Ids)));

        model.SavePretrained(target, format, new BitNetWriteOptions { Floats = TensorEncoding.BF16 });
        using BitModel rounded = AutoBitModel.FromPretrained(target);
        Assert.False(expected.Equals(rounded.call(Ids)));
    }

    [Theory]
    [InlineData(BitNetFormat.HuggingFace, "autobitlinear", "offline", "U8")]
    [InlineData(BitNetFormat.HuggingFaceBitLinear, "bitlinear", "offline", "U8")]
    [InlineData(BitNetFormat.HuggingFaceMaster, "autobitlinear", "online", "BF16")]
    public void Hugging_Face_s_library_finds_what_it_looks_for(BitNetFormat format, string linearClass, string mode, string dtype)
    {
        using var folder = new TemporaryFolder();
        using var model = new BitNetModel(TinyBitNet.BitNet);
        model.SavePretrained(folder.Path, format);
        using JsonDocument config = JsonDocument.Parse(File.ReadAllBytes(folder["config.json"]));
        Assert.Equal("bitnet", config.RootElement.GetProperty("model_type").GetString());
        Assert.Equal("BitNetForCausalLM", config.RootElement.GetProperty("architectures")[0].GetString());
        JsonElement quantization = config.RootElement.GetProperty("quantization_config");
        Assert.Equal(("bitnet", linearClass, mode), (
            quantization.GetProperty("quant_method").GetString(),
            quantization.GetProperty("linear_class").GetString(),
            quantization.GetProperty("quantization_mode").GetString()));
        using SafetensorsFile file = SafetensorsFile.Open(folder["model.safetensors"]);
        SafetensorsEntry weight = file.Entries["model.layers.1.mlp.down_proj.weight"];
        Assert.Equal(dtype, weight.Dtype.ToString());
        Assert.Equal(format == BitNetFormat.HuggingFaceMaster ? [32, 48] : [8, 48], weight.Shape);
        Assert.Equal(format != BitNetFormat.HuggingFaceMaster, file.Entries.ContainsKey("model.layers.1.mlp.down_proj.weight_scale"));
    }

    [Fact]
    public void Packed_weights_lie_where_they_can_be_multiplied()
    {
        using var folder = new TemporaryFolder();
        using var model = new BitNetModel(TinyBitNet.BitNet);
        model.Deploy();
        model.SavePretrained(folder.Path);
        using SafetensorsFile file = SafetensorsFile.Open(folder["model.safetensors"]);
        Assert.Equal(14, file.Entries.Values.Count(entry => entry.Name.EndsWith(".packed_weight")));
        Assert.All(
            file.Entries.Values,
            entry => Assert.Equal(0, entry.Offset % (entry.Name.EndsWith(".packed_weight") ? 64 : entry.Dtype.ElementBytes())));
    }

    [Fact]
    public void What_a_form_cannot_express_is_refused()
    {
        using var folder = new TemporaryFolder();
        foreach (BitQuantConfig config in new BitQuantConfig[]
        {
            new() { ActivationDtype = ActivationDtype.Float32 },
            new() { ActivationGranularity = Granularity.PerTensor },
        })
        {
            using var model = new BitNetModel(TinyBitNet.BitNet, config);
            Assert.Contains("HuggingFace", Assert.Throws<InvalidOperationException>(
                () => model.SavePretrained(folder.Path, BitNetFormat.HuggingFace)).Message);
        }
        using (var median = new BitNetModel(TinyBitNet.BitNet, new() { WeightScale = WeightScale.Absmedian }))
        {
            Assert.Throws<InvalidOperationException>(() => median.SavePretrained(folder.Path, BitNetFormat.HuggingFaceMaster));
            // Its trits and their scale are as good as any.
            median.SavePretrained(folder.Path, BitNetFormat.HuggingFace);
        }
        using var rows = new BitNetModel(TinyBitNet.BitNet, new() { WeightGranularity = Granularity.PerChannel });
        Assert.Contains("scale a row", Assert.Throws<InvalidDataException>(
            () => rows.SavePretrained(folder.Path, BitNetFormat.HuggingFace)).Message);
        rows.SavePretrained(folder.Path, BitNetFormat.BitLab);
        using BitModel loaded = AutoBitModel.FromPretrained(folder.Path);
        rows.eval();
        using Tensor expected = rows.call(Ids), actual = loaded.call(Ids);
        Assert.True(expected.Equals(actual));
    }
}
