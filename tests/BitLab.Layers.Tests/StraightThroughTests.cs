using BitLab.Core;
using CsCheck;
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

    /// <summary>Weights' configs beside the activations' ones.</summary>
    private static readonly Gen<BitQuantConfig> Configs = Gen.Select(
        Gen.Enum<WeightScale>(), Gen.Enum<StraightThroughGradient>(), Gen.Bool, Gen.Bool, (scale, gradient, isPerTensor, isPerToken) =>
            new BitQuantConfig
            {
                WeightScale = scale,
                Gradient = gradient,
                WeightGranularity = isPerTensor ? Granularity.PerTensor : Granularity.PerChannel,
                ActivationGranularity = isPerToken ? Granularity.PerToken : Granularity.PerTensor,
            });

    // Now and then something that is not finite, more often a tie or a zero.
    private static readonly Gen<float> Values = Gen.Frequency(
        (400, Gen.Float[-1, 1]), (20, Gen.Int[-4, 4].Select(i => i / 2f)), (1, Gen.OneOf(Gen.Const(float.NaN), Gen.Const(float.PositiveInfinity), Gen.Const(float.NegativeInfinity))));

    [Fact]
    public void Fused_and_torch_values_and_gradients_have_the_same_bits() =>
        Gen.Select(
            Gen.Int[1, 3], Gen.Int[1, 5], Gen.Int[1, 40], Gen.Int[-42, 38], Configs, Gen.OneOf(Gen.Const(1f), Gen.Float[0.01f, 1]))
        .SelectMany(shape => Values.Array[shape.Item1 * shape.Item2 * shape.Item3], (shape, values) => (shape, values)).Sample(
            sample =>
            {
                ((int first, int second, int third, int power, BitQuantConfig config, float lambda), float[] values) = sample;
                using DisposeScope scope = NewDisposeScope();
                float[] scaled = Array.ConvertAll(values, value => (float)(value * Math.Pow(10, power)));
                Tensor x = tensor(scaled, first, second, third).requires_grad_();
                Tensor upstream = rand_like(x);
                foreach (bool isMultiplied in new[] { false, true })
                    AssertSame(FusedFakeQuantization.Weights(x, config, lambda, isMultiplied), TorchFakeQuantization.Weights(x, config, lambda));
                AssertSame(FusedFakeQuantization.Activations(x, config, lambda), TorchFakeQuantization.Activations(x, config, lambda));

                void AssertSame(Tensor fused, Tensor torch)
                {
                    Assert.Equal(Bits(torch), Bits(fused));
                    bool isFinite = scaled.All(float.IsFinite);
                    // Of weights that are multiplied, the gradient is the product's own tensor and may become theirs.
                    fused.backward([upstream.clone()]);
                    int[] gradient = Bits(x.grad!);
                    x.grad!.zero_();
                    torch.backward([upstream]);
                    // Where a value is NaN, so may the gradient be of the way that multiplies by it.
                    if (isFinite)
                        Assert.Equal(Bits(x.grad!), gradient);
                    x.grad!.zero_();
                    using (no_grad())
                    {
                        Assert.False(StraightThrough.Weights(x, config, lambda).requires_grad);
                        Assert.Equal(Bits(TorchFakeQuantization.Weights(x.detach(), config, lambda)), Bits(StraightThrough.Weights(x, config, lambda)));
                    }
                }
            },
            threads: 1);

    [Fact]
    public void Large_weights_have_the_bits_of_torch_and_of_the_packed_form()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor w = randn(700, 1000);
        foreach (BitQuantConfig config in BitQuantConfig.All)
        {
            int[] fused = Bits(StraightThrough.Weights(w, config));
            Assert.Equal(Bits(TorchFakeQuantization.Weights(w, config, 1)), fused);
            using var packed = PackedTernaryWeights.Pack(w.data<float>().ToArray(), 700, 1000, config.WeightGranularity);
            float[] values = new float[700 * 1000];
            packed.Unpack(values);
            Assert.Equal(Array.ConvertAll(values, BitConverter.SingleToInt32Bits), fused);
        }
    }

    [Fact]
    public void Strided_and_half_tensors_take_the_torch_way()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor w = randn(20, 30), t = w.t();
        Assert.Equal(Bits(StraightThrough.Weights(t.contiguous(), Granularity.PerChannel)), Bits(StraightThrough.Weights(t, Granularity.PerChannel)));
        Tensor half = w.to(bfloat16).requires_grad_();
        Tensor quantized = StraightThrough.Activations(half, BitQuantConfig.Default);
        Assert.Equal(ScalarType.BFloat16, quantized.dtype);
        quantized.backward([ones_like(quantized)]);
        Assert.True(half.grad!.Equals(ones_like(half)));
    }

    [Theory]
    [InlineData(-0.1f)]
    [InlineData(1.1f)]
    [InlineData(float.NaN)]
    public void Lambda_goes_from_0_to_1(float lambda)
    {
        using Tensor w = randn(3, 3);
        Assert.Throws<ArgumentOutOfRangeException>("lambda", () => StraightThrough.Weights(w, BitQuantConfig.Default, lambda));
        Assert.Throws<ArgumentOutOfRangeException>("lambda", () => StraightThrough.Activations(w, BitQuantConfig.Default, lambda));
    }

    // Any NaN like any other.
    private static int[] Bits(Tensor tensor)
    {
        using Tensor plain = tensor.detach().contiguous();
        return [.. plain.data<float>().Select(value => BitConverter.SingleToInt32Bits(float.IsNaN(value) ? float.NaN : value))];
    }
}
