using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers.Tests;

[Collection(nameof(CountsWeightBytes))]
public class BitLinearTests
{
    public static TheoryData<BitQuantConfig> EveryConfig => [.. BitQuantConfig.All];

    public static TheoryData<BitQuantConfig, string> EveryConfigAndKernel()
    {
        var data = new TheoryData<BitQuantConfig, string>();
        foreach (BitQuantConfig config in BitQuantConfig.All)
        {
            foreach (string kernel in KernelRegistry.ListAvailableKernels())
                data.Add(config, kernel);
        }
        return data;
    }

    [Theory, MemberData(nameof(EveryConfigAndKernel))]
    public void Train_and_eval_are_two_roads_to_one_number(BitQuantConfig config, string kernel)
    {
        using DisposeScope scope = NewDisposeScope();
        foreach (bool subLN in new[] { false, true })
        {
            using var layer = new BitLinear(100, 37, config: config, subLN: subLN);
            using (no_grad())
                layer.bias!.copy_(randn(37));
            Tensor x = randn(9, 100);
            layer.train();
            Tensor trained = layer.call(x).detach();
            layer.eval();
            using IDisposable forced = KernelRegistry.Use(kernel);
            AssertClose(trained, layer.call(x));
            layer.Deploy();
            AssertClose(trained, layer.call(x));
        }
    }

    [Theory, MemberData(nameof(EveryConfig))]
    public void Eval_and_deployed_outputs_are_equal_bit_for_bit(BitQuantConfig config)
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(70, 40, config: config);
        Tensor x = randn(5, 70);
        layer.eval();
        Tensor evaluated = layer.call(x);
        layer.Deploy();
        AssertEqual(evaluated, layer.call(x));
    }

    [Theory, MemberData(nameof(EveryConfig))]
    public void Gradients_pass_straight_through(BitQuantConfig config)
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(20, 7, config: config);
        Tensor x = randn(4, 20).requires_grad_();
        Tensor upstream = randn(4, 7);
        layer.call(x).backward([upstream]);
        // By hand, for y = q(x) · q(W)ᵀ + b with dq(x)/dx = dq(W)/dW = 1: dW = gᵀ · q(x), dx = g · q(W), db = Σ g.
        using IDisposable noGradients = no_grad();
        Tensor qx = StraightThrough.Activations(x.detach(), config);
        Tensor qw = layer.QWeight.to(float32) * layer.QWeightScale.reshape(-1, 1);
        AssertClose(upstream.t().mm(qx), layer.weight!.grad!);
        AssertClose(upstream.mm(qw), x.grad!);
        AssertClose(upstream.sum(dim: 0), layer.bias!.grad!);
    }

    [Fact]
    public void Inputs_that_ask_for_a_gradient_get_it_in_eval_mode_and_deployed()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(20, 7);
        layer.eval();
        Tensor qw = layer.QWeight.to(float32) * layer.QWeightScale;
        foreach (bool isDeployed in new[] { false, true })
        {
            if (isDeployed)
                layer.Deploy();
            Tensor x = randn(4, 20).requires_grad_();
            Tensor y = layer.call(x);
            y.sum().backward();
            AssertClose(qw.sum(dim: 0).expand(4, 20), x.grad!);
            AssertClose(layer.call(x.detach()), y.detach());
            using (no_grad())
                Assert.False(layer.call(x).requires_grad);
        }
    }

    [Fact]
    public void Inputs_may_have_any_rank_stride_and_float_type_and_may_be_empty()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(16, 5);
        foreach (bool isDeployed in new[] { false, true })
        {
            foreach (bool training in isDeployed ? new[] { false } : [true, false])
            {
                layer.train(training);
                Assert.Equal([5], layer.call(randn(16)).shape);
                Assert.Equal([2, 3, 4, 5], layer.call(randn(2, 3, 4, 16)).shape);
                Assert.Equal([0, 5], layer.call(randn(0, 16)).shape);
                Assert.Equal([3, 0, 5], layer.call(randn(3, 0, 16)).shape);
                Tensor x = randn(16, 6);
                AssertClose(layer.call(x.t().contiguous()), layer.call(x.t()));
                AssertClose(layer.call(x.t())[1], layer.call(x.t()[1]));
                foreach (ScalarType dtype in new[] { float16, bfloat16, float32, float64 })
                {
                    Tensor y = layer.call(x.t().to(dtype));
                    Assert.Equal(dtype, y.dtype);
                    // A bfloat16 has 8 bits of precision, here in the input, the weights and the output.
                    AssertClose(layer.call(x.t()), y.to(float32), relative: dtype is ScalarType.Float32 or ScalarType.Float64 ? 1e-5 : 5e-2);
                }
            }
            layer.Deploy();
        }
    }

    [Fact]
    public void Inputs_that_do_not_fit_are_told_so()
    {
        using var layer = new BitLinear(16, 5);
        using Tensor wrong = randn(2, 15), integers = ones(2, 16, int32), scalar = tensor(1f);
        Assert.Contains("(*, 16), got (2, 15)", Assert.Throws<ArgumentException>(() => layer.call(wrong)).Message);
        Assert.Contains("Int32", Assert.Throws<ArgumentException>(() => layer.call(integers)).Message);
        Assert.Throws<ArgumentException>(() => layer.call(scalar));
        Assert.Contains("(5, 0)", Assert.Throws<ArgumentException>(() => new BitLinear(0, 5)).Message);
    }

    [Theory]
    [InlineData("copy_")]
    [InlineData("add_ in inference mode")]
    [InlineData("load_state_dict")]
    [InlineData("load")]
    [InlineData("optimizer")]
    public void A_change_of_the_weights_in_eval_mode_is_seen(string way)
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(32, 8);
        using var other = new BitLinear(32, 8);
        Tensor x = randn(3, 32);
        layer.eval();
        Tensor before = layer.call(x);
        switch (way)
        {
            case "copy_":
                using (no_grad())
                    layer.weight!.copy_(other.weight!);
                break;
            case "add_ in inference mode":
                using (inference_mode())
                    layer.weight!.add_(other.weight!);
                break;
            case "load_state_dict":
                layer.load_state_dict(other.state_dict());
                break;
            case "load":
                string file = Path.GetTempFileName();
                other.save(file);
                layer.load(file);
                File.Delete(file);
                break;
            default:
                using (var optimizer = optim.SGD(layer.parameters(), 0.5))
                {
                    Tensor tracked = x.clone().requires_grad_();
                    layer.call(tracked).square().sum().backward();
                    optimizer.step();
                }
                break;
        }
        Tensor after = layer.call(x);
        Assert.False(after.Equals(before));
        layer.train();
        layer.eval();
        AssertEqual(layer.call(x), after);
    }

    [Fact]
    public void Weights_made_in_inference_mode_have_no_version_and_are_packed_each_time()
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable inference = inference_mode();
        using var layer = new BitLinear(32, 8);
        Tensor x = randn(3, 32);
        layer.eval();
        Tensor before = layer.call(x);
        layer.weight!.add_(randn(8, 32));
        Assert.False(layer.call(x).Equals(before));
    }

    [Fact]
    public void Quantized_weights_are_trits_and_a_scale()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(64, 48, config: new BitQuantConfig { WeightGranularity = Granularity.PerChannel });
        foreach (bool isDeployed in new[] { false, true })
        {
            if (isDeployed)
                layer.Deploy();
            Tensor trits = layer.QWeight;
            Assert.Equal((int8, 48L, 64L), (trits.dtype, trits.size(0), trits.size(1)));
            Assert.Equal<sbyte>([-1, 0, 1], trits.data<sbyte>().Distinct().Order());
            Assert.Equal([48], layer.QWeightScale.shape);
            Assert.Equal((2 * 4 * 128) + (48 * 4), layer.PackedBytes);
        }
    }

    [Fact]
    public void Deploying_frees_the_float_weights_for_good()
    {
        using DisposeScope scope = NewDisposeScope();
        long native = BitLabRuntime.WeightBytesHeld;
        using var layer = new BitLinear(256, 128);
        Tensor latent = layer.weight!;
        layer.Deploy();
        layer.Deploy();
        Assert.True(layer.IsDeployed);
        Assert.False(layer.training);
        Assert.Null(layer.weight);
        Assert.True(latent.IsInvalid);
        Assert.Equal(["bias"], layer.named_parameters().Select(p => p.name));
        Assert.Equal(["packed_weight", "weight_scale"], layer.named_buffers().Select(b => b.name));
        Assert.Equal(native, BitLabRuntime.WeightBytesHeld);
        Assert.Equal((256 * 128 / 4) + 4 + (128 * 4), MemoryUsage.Estimate(layer).Bytes);
        Assert.Contains("deployed", Assert.Throws<InvalidOperationException>(() => layer.train()).Message);
        layer.eval();
    }

    [Fact]
    public void Weights_that_are_not_finite_are_refused_by_the_layers_name()
    {
        using var model = nn.Sequential(("encoder", nn.Sequential(("fc", new BitLinear(4, 4)), ("act", nn.ReLU()))), ("head", new BitLinear(4, 2)));
        using (no_grad())
            model.parameters().First().fill_(double.NaN);
        string message = Assert.Throws<QuantizationException>(() => model.Deploy()).Message;
        Assert.Contains("encoder.fc", message);
        Assert.Equal(4, model.parameters().Count());
        using var alone = new BitLinear(4, 4);
        using (no_grad())
            alone.weight!.fill_(double.PositiveInfinity);
        Assert.Contains("BitLinear(4, 4)", Assert.Throws<QuantizationException>(alone.eval).Message);
    }

    [Fact]
    public void Activations_that_are_not_finite_spoil_their_own_token_in_both_modes()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(8, 4);
        foreach (double bad in new[] { double.NaN, double.PositiveInfinity })
        {
            Tensor x = randn(3, 8);
            x[1, 2] = tensor((float)bad);
            foreach (bool training in new[] { true, false })
            {
                layer.train(training);
                Tensor y = layer.call(x);
                Assert.True(y[1].isnan().all().item<bool>());
                Assert.True(y[0].isfinite().all().item<bool>() && y[2].isfinite().all().item<bool>());
            }
        }
    }

    [Fact]
    public void Casts_and_moves_leave_packed_weights_and_their_scale_alone()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(64, 32);
        using var model = nn.Sequential(nn.Sequential(layer), nn.ReLU());
        Tensor x = randn(3, 64);
        layer.Deploy();
        Tensor before = layer.call(x), scale = layer.QWeightScale;
        foreach (ScalarType dtype in new[] { float16, bfloat16, float64, float32 })
        {
            model.to(dtype);
            Assert.Equal(dtype, layer.bias!.dtype);
            AssertEqual(scale, layer.QWeightScale);
            AssertEqual(before, layer.call(x));
        }
        model.to(CPU);
        model.to(CPU, float16);
        AssertEqual(scale, layer.QWeightScale);
        AssertEqual(before, layer.call(x));
        model.to(float16);
        Tensor y = layer.call(x.to(float16));
        Assert.Equal(float16, y.dtype);
        // Half precision in the input and the output: 2⁻¹¹ each, and one step of the int8 grid where a value lies on the edge.
        AssertClose(before, y.to(float32), relative: 3e-2);
    }

    [Fact]
    public void A_latent_layer_can_be_cast_and_goes_on_training_and_evaluating()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(64, 32);
        Tensor x = randn(3, 64);
        layer.eval();
        Tensor before = layer.call(x);
        layer.to(bfloat16);
        Assert.Equal(bfloat16, layer.weight!.dtype);
        // Only the latent weights lost bits, so few trits change.
        AssertClose(before, layer.call(x), relative: 0.2);
        layer.train();
        layer.call(x.to(bfloat16)).sum().backward();
        Assert.NotNull(layer.weight!.grad);
    }

    [Fact]
    public void The_initial_weights_lie_within_the_bounds_of_their_method()
    {
        using DisposeScope scope = NewDisposeScope();
        foreach ((InitMethod method, double bound) in new[]
            { (InitMethod.XavierUniform, Math.Sqrt(6.0 / 500)), (InitMethod.KaimingUniform, Math.Sqrt(3) * Math.Sqrt(2.0 / 300)) })
        {
            using var layer = new BitLinear(300, 200, initMethod: method);
            Assert.InRange(layer.weight!.abs().max().item<float>(), bound * 0.99, bound * 1.000001);
            Assert.Equal(0f, layer.bias!.abs().max().item<float>());
        }
        using var plain = new BitLinear(3, 2, hasBias: false);
        Assert.Null(plain.bias);
        Assert.Equal(["weight"], plain.state_dict().Keys);
    }

    [Fact]
    public void Eight_threads_get_the_same_bits()
    {
        using var layer = new BitLinear(300, 200);
        using Tensor x = randn(4, 300);
        layer.eval();
        using Tensor expected = layer.call(x);
        Parallel.For(0, 200, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i =>
        {
            // What a change of weights does in the middle of other threads' forwards: a repacking.
            if (i % 20 == 0)
                layer.state_dict();
            using Tensor y = layer.call(x);
            Assert.True(y.Equals(expected));
        });
    }

    [Fact]
    public void Disposing_leaves_no_native_bytes_and_no_tensors()
    {
        long bytes = BitLabRuntime.WeightBytesHeld;
        Forwards();
        long tensors = Tensor.TotalCount;
        Forwards();
        Assert.Equal(bytes, BitLabRuntime.WeightBytesHeld);
        // TorchSharp counts each Parameter once too often: 2 here, and the gain of the norm.
        Assert.Equal(tensors + 3, Tensor.TotalCount);

        static void Forwards()
        {
            using var layer = new BitLinear(64, 32, subLN: true);
            using Tensor x = randn(3, 64);
            for (int i = 0; i < 5; i++)
            {
                layer.train();
                layer.call(x).Dispose();
                layer.eval();
                layer.call(x).Dispose();
            }
            layer.Deploy();
            layer.call(x).Dispose();
            layer.QWeight.Dispose();
        }
    }

    internal static void AssertEqual(Tensor expected, Tensor actual)
    {
        Assert.Equal(expected.shape, actual.shape);
        Assert.True(expected.Equals(actual), $"largest difference {(expected - actual).abs().max().item<float>()}");
    }

    // float32 adds in another order on the two roads: some roundings of 6e-8 relative to the largest output.
    internal static void AssertClose(Tensor expected, Tensor actual, double relative = 1e-5)
    {
        Assert.Equal(expected.shape, actual.shape);
        using DisposeScope scope = NewDisposeScope();
        double difference = (expected.detach() - actual.detach()).abs().max().item<float>();
        double largest = expected.detach().abs().max().item<float>();
        Assert.True(difference <= relative * largest, $"off by {difference} of {largest}");
    }
}
