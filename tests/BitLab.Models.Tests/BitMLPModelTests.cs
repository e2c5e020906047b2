using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models.Tests;

public class BitMLPModelTests
{
    [Fact]
    public void The_architecture_is_that_of_the_original()
    {
        using BitModel model = AutoBitModel.FromConfig(new BitMLPConfig { NLayers = 3, Dropout = 0.1 });
        Assert.Equal(
            ["BitLinear", "ReLU", "Dropout", "BitLinear", "ReLU", "Dropout", "BitLinear"],
            model.named_modules().Where(m => m.name != "layers").Select(m => m.module.GetType().Name));
        BitLinear[] layers = [.. model.named_modules().Select(m => m.module).OfType<BitLinear>()];
        Assert.Equal([(256L, 128L), (128L, 128L), (128L, 10L)], layers.Select(l => (l.in_features, l.out_features)));
        using BitModel plain = AutoBitModel.FromConfig(new BitMLPConfig { NLayers = 1 });
        Assert.Equal(["layers.0.weight", "layers.0.bias"], plain.state_dict().Keys);
    }

    [Fact]
    public void Every_layer_has_the_quantization_config_that_the_model_is_given()
    {
        var config = new BitQuantConfig { WeightGranularity = Granularity.PerChannel, ActivationDtype = ActivationDtype.Float32 };
        using BitModel model = AutoBitModel.FromConfig(new BitMLPConfig(), config);
        Assert.All(model.named_modules().Select(m => m.module).OfType<BitLinear>(), layer => Assert.Equal(config, layer.QuantConfig));
        Assert.Equal(config, model.QuantConfig);
    }

    [Fact]
    public void A_layer_is_named_by_its_path()
    {
        using BitModel model = AutoBitModel.FromConfig(new BitMLPConfig { NLayers = 2 });
        using (no_grad())
            model.get_parameter("layers.2.weight")!.fill_(double.NaN);
        Assert.Contains("layers.2", Assert.Throws<QuantizationException>(model.Deploy).Message);
        Assert.DoesNotContain(model.named_modules().Select(m => m.module).OfType<BitLinear>(), layer => layer.IsDeployed);
    }

    [Fact]
    public void The_float_twin_has_float_layers_and_deploys_to_itself()
    {
        using BitModel twin = AutoBitModel.FromConfig(new BitMLPConfig { Layer = "Linear" });
        Assert.DoesNotContain(twin.named_modules(), m => m.module is BitLinear);
        long bytes = MemoryUsage.Estimate(twin).Bytes;
        twin.Deploy();
        Assert.Equal(bytes, MemoryUsage.Estimate(twin).Bytes);
    }

    [Theory]
    [InlineData(0, 1, 1, 1, 0)]
    [InlineData(1, 0, 1, 1, 0)]
    [InlineData(1, 1, -1, 1, 0)]
    [InlineData(1, 1, 1, 0, 0)]
    [InlineData(1, 1, 1, 1, 1)]
    [InlineData(1, 1, 1, 1, double.NaN)]
    public void Sizes_that_cannot_be_are_refused(int nLayers, long inChannels, long hiddenDim, long outChannels, double dropout) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new BitMLPConfig
        {
            NLayers = nLayers,
            InChannels = inChannels,
            HiddenDim = hiddenDim,
            OutChannels = outChannels,
            Dropout = dropout,
        });
}
