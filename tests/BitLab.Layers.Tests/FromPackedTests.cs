using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers.Tests;

public class FromPackedTests
{
    public static TheoryData<Granularity, WeightPacking, bool, double?> EveryForm()
    {
        var data = new TheoryData<Granularity, WeightPacking, bool, double?>();
        foreach (Granularity granularity in new[] { Granularity.PerTensor, Granularity.PerChannel })
        {
            foreach (WeightPacking packing in Enum.GetValues<WeightPacking>())
            {
                data.Add(granularity, packing, true, null);
                data.Add(granularity, packing, false, 1e-6);
            }
        }
        return data;
    }

    [Theory, MemberData(nameof(EveryForm))]
    public void Packed_weights_make_the_layer_that_deploying_makes(
        Granularity granularity, WeightPacking packing, bool hasBias, double? subLNEps)
    {
        using DisposeScope scope = NewDisposeScope();
        var config = new BitQuantConfig { WeightGranularity = granularity };
        using var expected = new BitLinear(37, 45, hasBias, config: config, subLN: subLNEps is not null, subLNEps: subLNEps ?? 1e-5);
        if (hasBias)
        {
            using (no_grad())
                expected.bias!.uniform_(-1, 1);
        }
        using PackedTernaryWeights twoBit = PackedTernaryWeights.Pack(expected.weight!.data<float>().ToArray(), 45, 37, granularity);
        using PackedTernaryWeights weights = twoBit.Repack(packing);
        // The granularity is that of the weights, whatever the config says of it.
        using BitLinear layer = BitLinear.FromPacked(weights, expected.bias, BitQuantConfig.Default, subLNEps);
        expected.Deploy(packing);

        Assert.True(layer.IsDeployed);
        Assert.False(layer.training);
        Assert.Equal(config, layer.QuantConfig);
        Assert.Equal(packing, layer.Packing);
        Assert.Equal(expected.state_dict().Keys.Order(), layer.state_dict().Keys.Order());
        Tensor x = randn(5, 37) / 1000;
        BitLinearTests.AssertEqual(expected.call(x), layer.call(x));
        Assert.Throws<InvalidOperationException>(() => layer.train());
    }

    [Fact]
    public void The_layer_outlives_the_weights_and_the_scope_it_was_made_in()
    {
        BitLinear layer;
        using (PackedTernaryWeights weights = PackedTernaryWeights.Pack([1f, -1f, 0f, 2f], 2, 2, Granularity.PerTensor))
        using (NewDisposeScope())
            layer = BitLinear.FromPacked(weights);
        using (layer)
        using (Tensor x = tensor(new float[] { 1, 3 }), y = layer.call(x))
        {
            // Trits [[1, -1], [0, 1]] times the scale 1; 1 is quantized to 42 / 127 · 3.
            float one = 42 * (3f / 127);
            Assert.Equal([one - 3, 3f], y.data<float>().ToArray());
        }
    }

    [Fact]
    public void A_bias_of_another_size_is_refused()
    {
        using PackedTernaryWeights weights = PackedTernaryWeights.Pack([1f, -1f, 0f, 2f], 2, 2, Granularity.PerTensor);
        using Tensor bias = zeros(3);
        Assert.Contains("(2)", Assert.Throws<ArgumentException>(() => BitLinear.FromPacked(weights, bias)).Message);
        weights.Dispose();
        Assert.Throws<ObjectDisposedException>(() => BitLinear.FromPacked(weights));
    }
}
