using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers.Tests;

public class StateDictTests
{
    [Fact]
    public void The_keys_tell_the_state()
    {
        using var layer = new BitLinear(20, 10, subLN: true);
        Assert.Equal(["weight", "bias", "rms_norm.weight"], layer.state_dict().Keys);
        layer.eval();
        Assert.Equal(["weight", "bias", "rms_norm.weight"], layer.state_dict().Keys);
        layer.Deploy();
        Assert.Equal(
            ["bias", "packed_weight", "rms_norm.weight", "weight_scale"], layer.state_dict().Keys.Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("train")]
    [InlineData("eval")]
    [InlineData("deployed")]
    public void A_state_dict_of_every_state_loads_into_a_new_layer(string state)
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(50, 20);
        if (state == "deployed")
            layer.Deploy();
        else
            layer.train(state == "train");
        using var fresh = new BitLinear(50, 20);
        fresh.load_state_dict(layer.state_dict());
        Assert.Equal(layer.IsDeployed, fresh.IsDeployed);
        layer.eval();
        fresh.eval();
        Tensor x = randn(3, 50);
        BitLinearTests.AssertEqual(layer.call(x), fresh.call(x));
    }

    [Fact]
    public void A_deployed_layer_loads_another_and_its_own_file_format()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(50, 20);
        using var other = new BitLinear(50, 20);
        layer.Deploy();
        other.Deploy();
        Tensor x = randn(3, 50), expected = other.call(x);
        layer.call(x);
        layer.load_state_dict(other.state_dict());
        BitLinearTests.AssertEqual(expected, layer.call(x));

        using var third = new BitLinear(50, 20);
        third.Deploy();
        Tensor before = third.call(x);
        string file = Path.GetTempFileName();
        layer.save(file);
        third.load(file);
        File.Delete(file);
        Assert.False(before.Equals(expected));
        BitLinearTests.AssertEqual(expected, third.call(x));
    }

    [Fact]
    public void A_whole_model_changes_its_state_with_the_state_dict()
    {
        using DisposeScope scope = NewDisposeScope();
        using var model = Model();
        using var fresh = Model();
        model.Deploy();
        Assert.Throws<InvalidOperationException>(() => fresh.load_state_dict(model.state_dict()));
        fresh.LoadStateDict(model.state_dict());
        fresh.eval();
        Tensor x = randn(4, 12);
        BitLinearTests.AssertEqual(model.call(x), fresh.call(x));

        static nn.Module<Tensor, Tensor> Model() =>
            nn.Sequential(("a", new BitLinear(12, 9)), ("norm", nn.LayerNorm(9)), ("b", new BitLinear(9, 3)));
    }

    [Fact]
    public void The_dense_form_multiplies_saves_and_loads_like_the_other()
    {
        using IDisposable noGradients = no_grad();
        using var model = nn.Sequential(("a", new BitLinear(90, 40)), ("b", new BitLinear(40, 7)));
        using Tensor x = randn(3, 90);
        model.eval();
        using Tensor expected = model.call(x);
        model.Deploy(WeightPacking.Dense);
        BitLinear first = Layers(model)[0];
        Assert.Equal(WeightPacking.Dense, first.Packing);
        Assert.Equal([2, 2, 512], model.state_dict()["a.packed_weight"].shape);
        Assert.Equal((2 * 2 * 512) + 4, first.PackedBytes);
        using (Tensor y = model.call(x))
            Assert.True(y.Equals(expected));

        foreach (string state in new[] { "latent", "two bit", "dense" })
        {
            using var other = nn.Sequential(("a", new BitLinear(90, 40)), ("b", new BitLinear(40, 7)));
            if (state != "latent")
                other.Deploy(state == "dense" ? WeightPacking.Dense : WeightPacking.TwoBit);
            other.LoadStateDict(model.state_dict());
            Assert.All(Layers(other), layer => Assert.Equal(WeightPacking.Dense, layer.Packing));
            other.eval();
            using Tensor y = other.call(x);
            Assert.True(y.Equals(expected));
        }

        model.Deploy();
        Assert.Equal(WeightPacking.Dense, first.Packing);
        model.Deploy(WeightPacking.TwoBit);
        Assert.Equal(WeightPacking.TwoBit, first.Packing);
        using (Tensor y = model.call(x))
            Assert.True(y.Equals(expected));
    }

    [Fact]
    public void A_state_dict_that_does_not_fit_changes_nothing()
    {
        using var source = nn.Sequential(("a", new BitLinear(20, 10)), ("b", new BitLinear(10, 5)));
        using var target = nn.Sequential(("a", new BitLinear(20, 10)), ("b", new BitLinear(10, 6)));
        source.Deploy();
        using Tensor before = target.state_dict()["a.weight"].clone();
        Assert.Throws<ArgumentException>(() => target.LoadStateDict(source.state_dict()));
        Dictionary<string, Tensor> incomplete = source.state_dict();
        incomplete.Remove("b.packed_weight");
        Assert.Throws<InvalidOperationException>(() => target.LoadStateDict(incomplete));
        Assert.All(Layers(target), layer => Assert.False(layer.IsDeployed));
        Assert.True(target.state_dict()["a.weight"].Equals(before));
    }

    [Fact]
    public void Layers_larger_than_a_span_are_refused()
    {
        ArgumentException error = Assert.Throws<ArgumentException>(() => new BitLinear(1 << 17, 1 << 15, device: new Device("meta")));
        Assert.Contains("131072", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_does_not_fit_is_named()
    {
        using DisposeScope scope = NewDisposeScope();
        using var deployed = new BitLinear(50, 20);
        deployed.Deploy();
        using var latent = new BitLinear(50, 20);
        using var small = new BitLinear(50, 200);
        using var perChannel = new BitLinear(50, 20, config: new BitQuantConfig { WeightGranularity = Granularity.PerChannel });
        Assert.Contains("deployed", Assert.Throws<InvalidOperationException>(() => deployed.load_state_dict(latent.state_dict())).Message);
        Assert.Contains("packed_weight", Assert.Throws<ArgumentException>(() => small.load_state_dict(deployed.state_dict())).Message);
        Assert.Contains("weight_scale", Assert.Throws<ArgumentException>(() => perChannel.load_state_dict(deployed.state_dict())).Message);
        Assert.False(small.IsDeployed || perChannel.IsDeployed);
        using var model = nn.Sequential(("fc", new BitLinear(50, 20, hasBias: false)));
        string message = Assert.Throws<InvalidOperationException>(() => model.LoadStateDict(latent.state_dict())).Message;
        Assert.Contains("Missing: fc.weight", message);
        Assert.Contains("Unexpected: weight, bias", message);
        (IList<string> missing, IList<string> unexpected) = model.LoadStateDict(latent.state_dict(), strict: false);
        Assert.Equal((1, 2), (missing.Count, unexpected.Count));
    }

    [Fact]
    public void Damaged_packed_weights_are_refused_before_they_are_multiplied()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(50, 20);
        layer.Deploy();
        layer.call(randn(1, 50));
        layer.get_buffer("packed_weight")!.fill_(255);
        Assert.Contains("BitLinear(50, 20)", Assert.Throws<InvalidDataException>(() => layer.call(randn(1, 50))).Message);
    }

    private static BitLinear[] Layers(nn.Module model) => [.. model.modules().OfType<BitLinear>()];
}
