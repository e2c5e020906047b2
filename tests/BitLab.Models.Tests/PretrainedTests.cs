using System.Text.Json;
using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models.Tests;

public class PretrainedTests
{
    private static readonly BitMLPConfig Small = new() { NLayers = 3, InChannels = 20, HiddenDim = 33, OutChannels = 5 };

    public static TheoryData<BitQuantConfig, string> EveryConfigAndState()
    {
        var data = new TheoryData<BitQuantConfig, string>();
        foreach (BitQuantConfig config in BitQuantConfig.All)
        {
            foreach (string state in new[] { "train", "eval", "deployed" })
                data.Add(config, state);
        }
        return data;
    }

    [Theory, MemberData(nameof(EveryConfigAndState))]
    public void A_saved_model_of_every_state_comes_back_with_the_same_bits(BitQuantConfig config, string state)
    {
        using DisposeScope scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        using BitModel model = AutoBitModel.FromConfig(Small, config);
        if (state == "deployed")
            model.Deploy();
        else
            model.train(state == "train");
        model.SavePretrained(folder.Path);
        model.eval();
        Tensor x = randn(7, 20);
        using BitModel loaded = AutoBitModel.FromPretrained(folder.Path);
        Assert.Equal(Small, loaded.Config);
        Assert.Equal(config, loaded.QuantConfig);
        Assert.False(loaded.training);
        Assert.Equal(state == "deployed", loaded.named_modules().Select(m => m.module).OfType<BitLinear>().All(l => l.IsDeployed));
        Assert.True(model.call(x).Equals(loaded.call(x)));
        Assert.Equal(["config.json", "model.safetensors"], Directory.GetFiles(folder.Path).Select(Path.GetFileName).Order());
    }

    [Fact]
    public void A_deployed_model_is_saved_packed()
    {
        using var folder = new TemporaryFolder();
        using BitModel model = AutoBitModel.FromConfig(new BitMLPConfig { InChannels = 512, HiddenDim = 512, OutChannels = 512 });
        model.SavePretrained(folder.Path);
        long latent = new FileInfo(folder["model.safetensors"]).Length;
        model.Deploy();
        model.SavePretrained(folder.Path);
        long deployed = new FileInfo(folder["model.safetensors"]).Length;
        Assert.InRange((double)latent / deployed, 14, 16);
    }

    [Fact]
    public void The_config_has_the_names_of_the_original()
    {
        using var folder = new TemporaryFolder();
        using BitModel model = AutoBitModel.FromConfig(Small);
        model.SavePretrained(folder.Path);
        using JsonDocument config = JsonDocument.Parse(File.ReadAllBytes(folder["config.json"]));
        Assert.Equal(
            ["model_type", "n_layers", "in_channels", "hidden_dim", "out_channels", "dropout", "quant_config"],
            config.RootElement.EnumerateObject().Select(field => field.Name));
        Assert.Equal("bit_mlp", config.RootElement.GetProperty("model_type").GetString());
    }

    [Fact]
    public void A_model_loaded_in_a_scope_outlives_the_tensors_of_the_file()
    {
        using var folder = new TemporaryFolder();
        using (BitModel model = AutoBitModel.FromConfig(Small))
        {
            model.Deploy();
            model.SavePretrained(folder.Path);
        }
        using BitModel loaded = AutoBitModel.FromPretrained(folder.Path);
        using Tensor x = randn(2, 20), y = loaded.call(x);
        Assert.Equal([2, 5], y.shape);
    }

    [Theory]
    [InlineData("""{"n_layers": 3}""", "model_type")]
    [InlineData("""{"model_type": "bit_gnn"}""", "bit_gnn")]
    [InlineData("""{"model_type": "bit_mlp", "n_layers": "three"}""", "bit_mlp")]
    [InlineData("""{"model_type": "bit_mlp", "n_layers": 99999999999}""", "bit_mlp")]
    [InlineData("""{"model_type": "bit_mlp", "hidden_dim": -3}""", "HiddenDim")]
    [InlineData("""{"model_type": "bit_mlp", "layer": "Conv9"}""", "Conv9")]
    [InlineData("""{"model_type": "bit_mlp", "quant_config": {"activation_dtype": "int2"}}""", "int2")]
    [InlineData("""{"model_type": "bit_mlp", "n_layers": 2}""", "layers.4")]
    [InlineData("""{"model_type": "bit_mlp", "in_channels": 20, "hidden_dim": 33, "out_channels": 6}""", "layers.4.weight")]
    [InlineData("{", "config.json")]
    public void What_is_wrong_with_a_config_is_named(string config, string named)
    {
        using var folder = new TemporaryFolder();
        using (BitModel model = AutoBitModel.FromConfig(Small))
            model.SavePretrained(folder.Path);
        File.WriteAllText(folder["config.json"], config);
        Exception error = Assert.ThrowsAny<Exception>(() => AutoBitModel.FromPretrained(folder.Path));
        Assert.True(error is BitLabException or InvalidDataException, error.ToString());
        Assert.Contains(named, error.Message);
    }

    [Fact]
    public void An_interrupted_save_leaves_the_old_files()
    {
        using var folder = new TemporaryFolder();
        using BitModel model = AutoBitModel.FromConfig(Small);
        model.SavePretrained(folder.Path);
        byte[] before = File.ReadAllBytes(folder["model.safetensors"]);
        Assert.Throws<IOException>(() => SafetensorsWriter.Write(
            folder["model.safetensors"],
            [("w", SafetensorsDtype.U8, [100], stream =>
            {
                stream.Write(new byte[50]);
                throw new IOException("the disk is full");
            })]));
        Assert.Equal(before, File.ReadAllBytes(folder["model.safetensors"]));
        Assert.Equal(2, Directory.GetFiles(folder.Path).Length);
    }

    [Fact]
    public void A_users_own_model_takes_part()
    {
        using DisposeScope scope = NewDisposeScope();
        ModelRegistry.Register(
            "one_layer",
            fields => new OneLayerConfig(fields.GetProperty("size").GetInt64()),
            (config, quantConfig) => new OneLayer((OneLayerConfig)config, quantConfig));
        using var folder = new TemporaryFolder();
        using BitModel model = AutoBitModel.FromConfig(new OneLayerConfig(12));
        model.Deploy();
        model.SavePretrained(folder.Path);
        using BitModel loaded = AutoBitModel.FromPretrained(folder.Path);
        Assert.IsType<OneLayer>(loaded);
        Tensor x = randn(3, 12);
        Assert.True(model.call(x).Equals(loaded.call(x)));
        Assert.Throws<ArgumentException>(() => ModelRegistry.Register("one_layer", _ => null!, (_, _) => null!));
    }

    private sealed record OneLayerConfig(long Size) : BitModelConfig
    {
        public override string ModelType => "one_layer";

        public override void WriteFields(Utf8JsonWriter writer) => writer.WriteNumber("size", Size);
    }

    private sealed class OneLayer : BitModel
    {
        private readonly BitLinear fc;

        public OneLayer(OneLayerConfig config, BitQuantConfig quantConfig)
            : base(nameof(OneLayer), config, quantConfig)
        {
            fc = new BitLinear(config.Size, config.Size, config: quantConfig);
            RegisterComponents();
        }

        public override Tensor forward(Tensor input) => fc.call(input);
    }
}
