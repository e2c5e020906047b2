using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers.Tests;

public class StraightThroughTests
{
    [Theory]
    [InlineData(Granularity.PerTensor)]
    [InlineData(Granularity.PerChannel)]
    public void Weights_take_the_bits_of_the_packed_form(Granularity granularity)
    {
        using DisposeScope scope = NewDisposeScope();
        for (int seed = 0; seed < 20; seed++)
        {
            Tensor w = randn(33, 65) * Math.Pow(10, seed - 10);
            using var packed = PackedTernaryWeights.Pack(w.data<float>().ToArray(), 33, 65, granularity);
            float[] expected = new float[33 * 65];
            packed.Unpack(expected);
            Assert.Equal(expected, StraightThrough.Weights(w.requires_grad_(), granularity).data<float>().ToArray());
        }
    }

    [Theory]
    [InlineData(Granularity.PerTensor)]
    [InlineData(Granularity.PerToken)]
    public void Activations_take_the_bits_of_the_quantizer(Granularity granularity)
    {
        using DisposeScope scope = NewDisposeScope();
        var config = new BitQuantConfig { ActivationGranularity = granularity };
        for (int seed = 0; seed < 20; seed++)
        {
            Tensor x = randn(7, 50) * Math.Pow(10, seed - 10);
            float[] values = x.data<float>().ToArray(), expected = new float[values.Length];
            int group = granularity == Granularity.PerTensor ? values.Length : 50;
            for (int at = 0; at < values.Length; at += group)
            {
                float range = Absmax.Range(values.AsSpan(at, group));
                sbyte[] q = new sbyte[group];
                Absmax.Quantize(values.AsSpan(at, group), range, q);
                for (int i = 0; i < group; i++)
                    expected[at + i] = q[i] * (range / 127f);
            }
            Assert.Equal(expected, StraightThrough.Activations(x.requires_grad_(), config).data<float>().ToArray());
        }
    }

    [Fact]
    public void The_gradient_is_the_identity()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor w = randn(5, 6).requires_grad_(), x = randn(4, 6).requires_grad_();
        Tensor gw = randn(5, 6), gx = randn(4, 6);
        StraightThrough.Weights(w, Granularity.PerChannel).backward([gw]);
        StraightThrough.Activations(x, BitQuantConfig.Default).backward([gx]);
        BitLinearTests.AssertEqual(gw, w.grad!);
        BitLinearTests.AssertEqual(gx, x.grad!);
    }

    [Fact]
    public void Float32_activations_are_untouched()
    {
        using Tensor x = randn(3, 3);
        using Tensor y = StraightThrough.Activations(x, new BitQuantConfig { ActivationDtype = ActivationDtype.Float32 });
        Assert.True(x.Equals(y));
    }
}
