using BitLab.Core;
using BitLab.Inference;
using static TorchSharp.torch;

namespace BitLab.Models.Tests;

/// <summary>A network that was trained with LibTorch runs without it, to the same bits.</summary>
public class BitMlpRunnerTests
{
    [Theory]
    [InlineData(false, Granularity.PerTensor, 0)]
    [InlineData(true, Granularity.PerTensor, 0)]
    [InlineData(true, Granularity.PerChannel, 0.1)]
    public void A_saved_network_has_the_bits_of_the_model_in_eval_mode(bool isDeployed, Granularity granularity, double dropout)
    {
        using var folder = new TemporaryFolder();
        using TorchSharp.DisposeScope scope = NewDisposeScope();
        random.manual_seed(3);
        var config = new BitMLPConfig { NLayers = 4, InChannels = 70, HiddenDim = 45, OutChannels = 7, Dropout = dropout };
        using var model = new BitMLPModel(config, new BitQuantConfig { WeightGranularity = granularity });
        model.eval();
        if (isDeployed)
            model.Deploy();
        model.SavePretrained(folder.Path);
        using Tensor input = randn(9, 70);
        using IDisposable noGradients = no_grad();
        float[] expected = model.call(input).data<float>().ToArray();
        using BitMlpRunner runner = BitMlpRunner.Load(folder.Path);
        float[] got = new float[expected.Length];
        runner.Run(input.data<float>().ToArray(), got);
        Assert.Equal(expected, got);
    }
}
