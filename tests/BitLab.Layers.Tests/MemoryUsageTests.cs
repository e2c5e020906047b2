using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers.Tests;

public class MemoryUsageTests
{
    [Fact]
    public void Real_bytes_of_every_state_are_counted()
    {
        using var linear = nn.Linear(64, 32);
        using var layer = new BitLinear(64, 32);
        const long FloatBytes = ((64 * 32) + 32) * 4, Packed = (64 * 32 / 4) + 4;
        Assert.Equal(FloatBytes, MemoryUsage.Estimate(linear).Bytes);
        Assert.Equal(FloatBytes, MemoryUsage.Estimate(layer).Bytes);
        layer.eval();
        Assert.Equal(FloatBytes + Packed, MemoryUsage.Estimate(layer).Bytes);
        Assert.Equal(Packed, MemoryUsage.Estimate(layer).CacheBytes);
        layer.Deploy();
        MemoryReport deployed = MemoryUsage.Estimate(layer);
        Assert.Equal(Packed + (32 * 4), deployed.Bytes);
        Assert.Equal((64 * 32 * 1.585 / 8) + 4 + (32 * 4), deployed.NominalBytes, 0.1);
        MemoryComparison comparison = MemoryUsage.Compare(linear, layer);
        Assert.Equal(1 - ((double)(Packed + 128) / FloatBytes), comparison.Reduction);
        Assert.Equal((double)FloatBytes / (Packed + 128), comparison.Ratio);
    }

    [Fact]
    public void Shared_memory_is_counted_once()
    {
        var shared = new BitLinear(64, 64);
        using var model = nn.Sequential(("a", shared), ("act", nn.ReLU()), ("b", shared));
        Assert.Equal(MemoryUsage.Estimate(shared).Bytes, MemoryUsage.Estimate(model).Bytes);
        model.Deploy();
        Assert.Equal(MemoryUsage.Estimate(shared), MemoryUsage.Estimate(model));
    }

    [Fact]
    public void A_comparison_measures_time_and_memory()
    {
        using var linear = nn.Linear(256, 256);
        using var layer = new BitLinear(256, 256);
        layer.Deploy();
        using Tensor x = randn(1, 256);
        LayerComparison comparison = LayerComparison.Measure(linear, layer, x, rounds: 3);
        Assert.True(comparison.BaselineTime > TimeSpan.Zero && comparison.QuantizedTime > TimeSpan.Zero);
        Assert.Equal(comparison.BaselineTime / comparison.QuantizedTime, comparison.Speedup);
        Assert.Equal(MemoryUsage.Compare(linear, layer), comparison.Memory);
    }

    [Fact]
    public void Layers_are_made_by_name()
    {
        using nn.Module<Tensor, Tensor> layer = LayerRegistry.Create("bitlinear", 3, 2, hasBias: false);
        Assert.IsType<BitLinear>(layer);
        Assert.Single(layer.parameters());
        LayerRegistry.Register("twice", (inputSize, outputSize, hasBias, config) =>
            nn.Sequential(new BitLinear(inputSize, outputSize, hasBias, config: config), new BitLinear(outputSize, outputSize, hasBias, config: config)));
        using nn.Module<Tensor, Tensor> twice = LayerRegistry.Create("Twice", 3, 2);
        Assert.Equal(4, twice.parameters().Count());
        Assert.Contains("twice", LayerRegistry.Names);
        Assert.Throws<ArgumentException>(() => LayerRegistry.Register("TWICE", (_, _, _, _) => nn.Identity()));
        Assert.Contains("'thrice'", Assert.Throws<BitLabException>(() => LayerRegistry.Create("thrice", 1, 1)).Message);
    }
}
