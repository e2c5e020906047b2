using BitLab.Core;
using CsCheck;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers.Tests;

[Collection(nameof(CountsWeightBytes))]
public class BitConvTests
{
    public static TheoryData<BitQuantConfig> EveryConfig => [.. BitQuantConfig.All];

    public static TheoryData<PaddingModes> EveryPaddingMode =>
        [PaddingModes.Zeros, PaddingModes.Reflect, PaddingModes.Replicate, PaddingModes.Circular];

    [Theory, MemberData(nameof(EveryConfig))]
    public void Any_shape_equals_the_float_convolution_of_what_is_quantized(BitQuantConfig config)
    {
        Gen<(long, long)> Pair(long from, long to) => Gen.Select(Gen.Long[from, to], Gen.Long[from, to]);
        Gen.Select(
            Gen.Select(Gen.Int[1, 3], Gen.Int[1, 3], Gen.Int[1, 20], Gen.Int[1, 20]),
            Gen.Select(Pair(1, 4), Pair(1, 3), Pair(0, 3), Pair(1, 2)), Pair(8, 15), Gen.Bool).Sample(
            (sizes, geometry, size, hasBias) =>
            {
                (int batch, int groups, int groupInputs, int groupOutputs) = sizes;
                ((long, long) kernel, (long, long) stride, (long, long) padding, (long, long) dilation) = geometry;
                using DisposeScope scope = NewDisposeScope();
                using var layer = new BitConv2d(
                    groups * groupInputs, groups * groupOutputs, kernel, stride, padding, dilation, PaddingModes.Zeros, groups, hasBias,
                    config: config);
                if (hasBias)
                    layer.bias!.AsNoGrad(bias => bias.copy_(randn(bias.shape)));
                Tensor x = randn(batch, groups * groupInputs, size.Item1, size.Item2);
                Tensor weights = layer.QWeight.to(float32) * layer.QWeightScale.reshape(-1, 1, 1, 1);
                Tensor expected = nn.functional.conv2d(
                    FakeQuantized(x, config), weights, layer.bias, [stride.Item1, stride.Item2], [padding.Item1, padding.Item2],
                    [dilation.Item1, dilation.Item2], groups);
                AssertInEveryState(layer, x, expected);
            },
            iter: 25);
    }

    [Theory, MemberData(nameof(EveryConfig))]
    public void In_one_dimension_too(BitQuantConfig config) =>
        Gen.Select(
            Gen.Select(Gen.Int[1, 3], Gen.Int[1, 3], Gen.Int[1, 20], Gen.Int[1, 20]),
            Gen.Select(Gen.Long[1, 5], Gen.Long[1, 3], Gen.Long[0, 3], Gen.Long[1, 3]), Gen.Long[13, 90]).Sample(
            (sizes, geometry, length) =>
            {
                (int batch, int groups, int groupInputs, int groupOutputs) = sizes;
                (long kernel, long stride, long padding, long dilation) = geometry;
                using DisposeScope scope = NewDisposeScope();
                using var layer = new BitConv1d(
                    groups * groupInputs, groups * groupOutputs, kernel, stride, padding, dilation, groups: groups, config: config);
                layer.bias!.AsNoGrad(bias => bias.copy_(randn(bias.shape)));
                Tensor x = randn(batch, groups * groupInputs, length);
                Tensor weights = layer.QWeight.to(float32) * layer.QWeightScale.reshape(-1, 1, 1);
                Tensor expected = nn.functional.conv1d(
                    FakeQuantized(x, config), weights, layer.bias, stride, padding, dilation, groups);
                AssertInEveryState(layer, x, expected);
            },
            iter: 25);

    [Theory, MemberData(nameof(EveryPaddingMode))]
    public void Every_padding_is_that_of_LibTorch(PaddingModes mode)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = randn(2, 6, 9, 8), signal = randn(2, 6, 9);
        using (var layer = new BitConv2d(6, 4, (3, 2), padding: (2, 1), dilation: (2, 1), paddingMode: mode))
        {
            using var reference = nn.Conv2d(6, 4, (3, 2), padding: (2, 1), dilation: (2, 1), padding_mode: mode, bias: false);
            AssertInEveryState(layer, x, Reference(layer, reference, reference.weight!, x));
        }
        using (var layer = new BitConv1d(6, 4, 3, padding: 2, paddingMode: mode))
        {
            using var reference = nn.Conv1d(6, 4, 3, padding: 2, padding_mode: mode, bias: false);
            AssertInEveryState(layer, signal, Reference(layer, reference, reference.weight!, signal));
        }
        foreach (Padding padding in Enum.GetValues<Padding>())
        {
            // An even kernel needs one more behind than before. Zeros: LibTorch's own; the others as PyTorch pads them.
            using var layer = new BitConv2d(6, 4, (4, 3), padding, dilation: (1, 2), paddingMode: mode);
            Assert.Equal(padding, layer.padding_type);
            long[] pad = padding == Padding.Same ? [2, 2, 1, 2] : [0, 0, 0, 0];
            Tensor weights = layer.QWeight.to(float32) * layer.QWeightScale;
            Tensor quantized = FakeQuantized(x, layer.QuantConfig);
            Tensor padded = mode == PaddingModes.Zeros
                ? nn.functional.pad(quantized, pad)
                : nn.functional.pad(quantized, pad, mode);
            AssertInEveryState(layer, x, nn.functional.conv2d(padded, weights, dilation: [1, 2]));
            using var line = new BitConv1d(6, 4, 4, padding, paddingMode: mode);
            Assert.Equal(padding == Padding.Same ? 9 : 6, line.call(signal).size(2));
            using var square = new BitConv2d(6, 4, 3, padding, paddingMode: mode);
            Assert.Equal(padding == Padding.Same ? x.shape[2..] : [7, 6], square.call(x).shape[2..]);
        }
    }

    [Theory, MemberData(nameof(EveryConfig))]
    public void Gradients_pass_straight_through(BitQuantConfig config)
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitConv2d(4, 6, 3, stride: 2, padding: 1, groups: 2, config: config);
        Tensor x = randn(3, 4, 7, 8).requires_grad_(), upstream = randn(3, 6, 4, 4);
        layer.call(x).backward([upstream]);
        // Those of a float convolution of quantized values, whose derivatives by what they were made of are 1.
        Tensor qx = FakeQuantized(x.detach(), config).requires_grad_();
        Tensor qw = (layer.QWeight.to(float32) * layer.QWeightScale.reshape(-1, 1, 1, 1)).requires_grad_();
        nn.functional.conv2d(qx, qw, null, [2, 2], [1, 1], [1, 1], 2).backward([upstream]);
        BitLinearTests.AssertClose(qx.grad!, x.grad!);
        BitLinearTests.AssertClose(qw.grad!, layer.weight!.grad!);
        BitLinearTests.AssertClose(upstream.sum([0, 2, 3]), layer.bias!.grad!);
    }

    [Fact]
    public void Inputs_that_ask_for_a_gradient_get_it_in_eval_mode_and_deployed()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitConv1d(4, 6, 3, padding: 1);
        layer.eval();
        Tensor? first = null;
        foreach (bool isDeployed in new[] { false, true })
        {
            if (isDeployed)
                layer.Deploy();
            Tensor x = ones(2, 4, 10).requires_grad_();
            Tensor y = layer.call(x);
            y.sum().backward();
            BitLinearTests.AssertClose(layer.call(x.detach()), y.detach());
            BitLinearTests.AssertClose(first ??= x.grad!, x.grad!);
            using (no_grad())
                Assert.False(layer.call(x).requires_grad);
        }
    }

    [Fact]
    public void An_optimizer_trains_it()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(1);
        using var layer = new BitConv2d(2, 4, 3, padding: 1);
        using var teacher = new BitConv2d(2, 4, 3, padding: 1);
        using var optimizer = optim.Adam(layer.parameters(), 0.01);
        Tensor x = randn(8, 2, 6, 6), target = teacher.call(x).detach();
        double first = 0, last = 0;
        for (int step = 0; step < 60; step++)
        {
            optimizer.zero_grad();
            Tensor loss = nn.functional.mse_loss(layer.call(x), target);
            loss.backward();
            optimizer.step();
            last = loss.item<float>();
            if (step == 0)
                first = last;
        }
        Assert.True(last < first / 2, $"from {first} to {last}");
    }

    [Fact]
    public void Inputs_may_be_unbatched_strided_empty_and_of_any_float_type()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitConv2d(4, 5, 3, padding: 1);
        using var line = new BitConv1d(4, 5, 3);
        foreach (string state in new[] { "train", "eval", "deployed" })
        {
            ToState(layer, state);
            ToState(line, state);
            Tensor x = randn(3, 4, 6, 7), signal = randn(3, 4, 9);
            Tensor y = layer.call(x);
            Assert.Equal([3, 5, 6, 7], y.shape);
            Assert.Equal([5, 6, 7], layer.call(x[1]).shape);
            BitLinearTests.AssertClose(y[1], layer.call(x[1]));
            BitLinearTests.AssertClose(line.call(signal)[1], line.call(signal[1]));
            Assert.Equal([0, 5, 6, 7], layer.call(empty(0, 4, 6, 7)).shape);
            Assert.Equal([0, 5, 7], line.call(empty(0, 4, 9)).shape);
            BitLinearTests.AssertClose(
                layer.call(x.transpose(2, 3).contiguous()), layer.call(x.transpose(2, 3)));
            foreach (ScalarType dtype in new[] { float16, bfloat16, float32, float64 })
            {
                Tensor other = layer.call(x.to(dtype));
                Assert.Equal(dtype, other.dtype);
                // A bfloat16 has 8 bits of precision, here in the input, the weights and the output.
                BitLinearTests.AssertClose(y, other.to(float32), relative: dtype is ScalarType.Float32 or ScalarType.Float64 ? 1e-5 : 5e-2);
            }
        }
    }

    [Fact]
    public void An_image_keeps_its_output_whatever_else_is_in_the_batch()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitConv2d(3, 8, 3);
        layer.eval();
        Tensor x = randn(4, 3, 10, 10);
        Tensor alone = layer.call(x[2]);
        x[0] *= 1000;
        x[1, 0, 0, 0] = tensor(float.NaN);
        Tensor y = layer.call(x);
        BitLinearTests.AssertEqual(alone, y[2]);
        Assert.True(y[1].isnan().all().item<bool>());
        layer.train();
        Tensor trained = layer.call(x).detach();
        BitLinearTests.AssertClose(alone, trained[2]);
        Assert.True(trained[1].isnan().all().item<bool>());
    }

    [Fact]
    public void What_does_not_fit_is_told_so()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitConv2d(4, 6, 3);
        using var line = new BitConv1d(4, 6, 3, padding: 5, paddingMode: PaddingModes.Reflect);
        Assert.Contains("(batch, 4, height, width) or (4, height, width), got (2, 3, 8, 8)", Error(() => layer.call(randn(2, 3, 8, 8))));
        Assert.Contains("got (8, 8)", Error(() => layer.call(randn(8, 8))));
        Assert.Contains("got (1, 2, 4, 8, 8)", Error(() => layer.call(randn([1, 2, 4, 8, 8]))));
        Assert.Contains("BitConv2d(4, 6, 3x3) needs a size of at least 3 in dimension 3, got (2, 4, 8, 2)", Error(() => layer.call(randn(2, 4, 8, 2))));
        Assert.Contains("at least 6 in dimension 1, got (4, 5)", Error(() => line.call(randn(4, 5))));
        Assert.Contains("(4, length), got (2, 4, 8, 8)", Error(() => line.call(randn(2, 4, 8, 8))));
        Assert.Contains("Int64", Error(() => layer.call(ones(2, 4, 8, 8, int64))));
        Assert.Contains("3 groups", Error(() => new BitConv2d(4, 6, 3, groups: 3)));
        Assert.Contains("0 groups", Error(() => new BitConv2d(4, 6, 3, groups: 0)));
        Assert.Contains("(0, 3)", Error(() => new BitConv2d(4, 6, (0, 3))));
        Assert.Contains("(0)", Error(() => new BitConv1d(4, 6, 3, stride: 0)));
        Assert.Contains("(-1)", Error(() => new BitConv1d(4, 6, 3, padding: -1)));
        Assert.Contains("stride of 1, not (2)", Error(() => new BitConv1d(4, 6, 3, Padding.Same, stride: 2)));
        Assert.Contains("Constant", Error(() => new BitConv1d(4, 6, 3, paddingMode: PaddingModes.Constant)));

        static string Error(Func<object> action) => Assert.ThrowsAny<ArgumentException>(action).Message;
    }

    [Theory]
    [InlineData("train", WeightPacking.TwoBit)]
    [InlineData("eval", WeightPacking.TwoBit)]
    [InlineData("deployed", WeightPacking.TwoBit)]
    [InlineData("deployed", WeightPacking.Dense)]
    public void A_state_dict_of_every_state_loads_into_a_new_layer(string state, WeightPacking packing)
    {
        using DisposeScope scope = NewDisposeScope();
        using var model = Model();
        Tensor x = randn(2, 3, 8, 8);
        model.eval();
        Tensor expected = model.call(x);
        Assert.Equal(["a.weight", "a.bias", "b.weight"], model.state_dict().Keys);
        model.train(state == "train");
        if (state == "deployed")
        {
            model.Deploy(packing);
            Assert.Equal(
                ["a.bias", "a.packed_weight", "a.weight_scale", "b.packed_weight", "b.weight_scale"],
                model.state_dict().Keys.Order(StringComparer.Ordinal));
            BitLinearTests.AssertEqual(expected, model.call(x));
        }
        using var fresh = Model();
        fresh.LoadStateDict(model.state_dict());
        fresh.eval();
        Assert.All(fresh.modules().OfType<BitLayerBase>(), layer =>
        {
            Assert.Equal(state == "deployed", layer.IsDeployed);
            Assert.Equal(packing, layer.Packing);
        });
        BitLinearTests.AssertEqual(expected, fresh.call(x));

        static nn.Module<Tensor, Tensor> Model() => nn.Sequential(
            ("a", new BitConv2d(3, 40, 3, padding: 1)), ("act", nn.ReLU()), ("b", new BitConv2d(40, 20, (3, 1), groups: 4, hasBias: false)));
    }

    [Fact]
    public void Deployed_weights_and_trits_keep_the_order_of_the_latent_ones()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitConv2d(6, 5, (3, 2));
        // Whole numbers at a scale of about 0.67, so that the trits are the signs.
        Tensor signs = randint(-1, 2, [5, 6, 3, 2]).to(float32);
        layer.weight!.AsNoGrad(weight => weight.copy_(signs));
        BitLinearTests.AssertEqual(signs, layer.QWeight.to(float32));
        Assert.True(layer.QWeight.is_contiguous());
        layer.Deploy();
        BitLinearTests.AssertEqual(signs, layer.QWeight.to(float32));
        Assert.Equal([1, 3, 128], layer.get_buffer("packed_weight")!.shape);
    }

    [Fact]
    public void Casts_leave_packed_weights_alone_and_weights_that_are_not_finite_are_refused()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitConv2d(4, 6, 3);
        using var model = nn.Sequential(("stem", layer));
        Tensor x = randn(1, 4, 5, 5);
        model.Deploy();
        Tensor before = layer.call(x);
        model.to(float16);
        Assert.Equal(float16, layer.bias!.dtype);
        BitLinearTests.AssertEqual(before, layer.call(x));

        using var bad = nn.Sequential(("stem", new BitConv1d(4, 6, 3)));
        bad.parameters().First().AsNoGrad(weight => weight.fill_(double.NaN));
        Assert.Contains("stem", Assert.Throws<QuantizationException>(() => bad.Deploy()).Message);
    }

    [Fact]
    public void A_latent_layer_can_be_cast_and_goes_on_training()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitConv2d(4, 6, 3);
        layer.to(bfloat16);
        Assert.Equal((bfloat16, bfloat16), (layer.weight!.dtype, layer.bias!.dtype));
        layer.call(randn(2, 4, 5, 5, bfloat16)).sum().backward();
        Assert.NotNull(layer.weight!.grad);
        Assert.NotNull(layer.bias!.grad);
    }

    [Fact]
    public void Its_bytes_and_its_time_are_measured()
    {
        using var conv = nn.Conv2d(32, 64, 3, padding: 1);
        using var layer = new BitConv2d(32, 64, 3, padding: 1);
        const long Trits = 64 * 32 * 9;
        Assert.Equal(MemoryUsage.Estimate(conv).Bytes, MemoryUsage.Estimate(layer).Bytes);
        layer.Deploy();
        Assert.Equal((Trits / 4) + 4 + (64 * 4), MemoryUsage.Estimate(layer).Bytes);
        Assert.Equal((Trits * 1.585 / 8) + 4 + (64 * 4), MemoryUsage.Estimate(layer).NominalBytes, 1.0);
        using Tensor x = randn(1, 32, 8, 8);
        LayerComparison comparison = LayerComparison.Measure(conv, layer, x, rounds: 3);
        Assert.True(comparison.BaselineTime > TimeSpan.Zero && comparison.QuantizedTime > TimeSpan.Zero);
    }

    [Fact]
    public void Any_number_of_threads_gives_the_same_bits()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitConv2d(16, 24, 3, padding: 1, groups: 2);
        Tensor x = randn(3, 16, 20, 20);
        layer.eval();
        int before = BitLabRuntime.NumThreads;
        try
        {
            BitLabRuntime.NumThreads = 1;
            Tensor expected = layer.call(x);
            foreach (int threads in new[] { 2, 3, 8 })
            {
                BitLabRuntime.NumThreads = threads;
                BitLinearTests.AssertEqual(expected, layer.call(x));
            }
            Parallel.For(0, 50, i =>
            {
                using Tensor y = layer.call(x);
                Assert.True(y.Equals(expected));
            });
        }
        finally
        {
            BitLabRuntime.NumThreads = before;
        }
    }

    [Fact]
    public void Disposing_leaves_no_native_bytes_and_no_tensors()
    {
        long bytes = BitLabRuntime.WeightBytesHeld;
        Forwards();
        long tensors = Tensor.TotalCount;
        Forwards();
        Assert.Equal(bytes, BitLabRuntime.WeightBytesHeld);
        // TorchSharp counts each Parameter once too often.
        Assert.Equal(tensors + 4, Tensor.TotalCount);

        static void Forwards()
        {
            using var layer = new BitConv2d(3, 4, 3, padding: 1);
            using var line = new BitConv1d(3, 4, 3, Padding.Same, paddingMode: PaddingModes.Circular);
            using Tensor x = randn(2, 3, 6, 6), signal = randn(3, 9);
            foreach (BitConvBase conv in new BitConvBase[] { layer, line })
            {
                Tensor input = conv == layer ? x : signal;
                for (int i = 0; i < 3; i++)
                {
                    conv.train();
                    conv.call(input).Dispose();
                    conv.eval();
                    conv.call(input).Dispose();
                }
                conv.Deploy();
                conv.call(input).Dispose();
                conv.QWeight.Dispose();
            }
        }
    }

    // As the layer is told: one range for each image, or one for all.
    private static Tensor FakeQuantized(Tensor x, BitQuantConfig config)
    {
        if (config.ActivationDtype == ActivationDtype.Float32)
            return x;
        Tensor range = config.ActivationGranularity == Granularity.PerTensor
            ? x.abs().max()
            : x.abs().amax([.. Enumerable.Range(1, (int)x.ndim - 1).Select(i => (long)i)], keepdim: true);
        // A quotient: 127 / range would be 127 times a reciprocal, and round some values to another whole number.
        return (x * full_like(range, 127f).div(range)).round() * (range / 127);
    }

    private static Tensor Reference(BitConvBase layer, nn.Module<Tensor, Tensor> reference, Tensor weight, Tensor x)
    {
        using IDisposable noGradients = no_grad();
        weight.copy_(layer.QWeight.to(float32) * layer.QWeightScale);
        return reference.call(FakeQuantized(x, layer.QuantConfig));
    }

    private static void AssertInEveryState(BitConvBase layer, Tensor x, Tensor expected)
    {
        foreach (string state in new[] { "train", "eval", "deployed" })
        {
            ToState(layer, state);
            BitLinearTests.AssertClose(expected, layer.call(x));
        }
    }

    private static void ToState(BitConvBase layer, string state)
    {
        if (state == "deployed")
            layer.Deploy();
        else
            layer.train(state == "train");
    }
}

internal static class NoGrad
{
    public static void AsNoGrad(this Tensor tensor, Func<Tensor, Tensor> change)
    {
        using (no_grad())
            change(tensor);
    }
}
