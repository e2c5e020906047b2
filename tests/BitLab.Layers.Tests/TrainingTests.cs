using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers.Tests;

[Collection(nameof(CountsWeightBytes))]
public class TrainingTests
{
    [Fact]
    public void Lambda_0_is_the_float_layer_bit_by_bit_and_1_the_ternary_one()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(50, 20);
        Tensor x = randn(6, 50);
        Tensor ternary = layer.call(x).detach();
        layer.Lambda = 0;
        BitLinearTests.AssertEqual(nn.functional.linear(x, layer.weight!, layer.bias), layer.call(x));
        layer.Lambda = 1;
        BitLinearTests.AssertEqual(ternary, layer.call(x));
    }

    [Fact]
    public void Lambda_0_is_the_float_convolution_bit_by_bit()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitConv2d(3, 5, 3);
        Tensor x = randn(2, 3, 8, 8);
        layer.Lambda = 0;
        BitLinearTests.AssertEqual(nn.functional.conv2d(x, layer.weight!, layer.bias), layer.call(x));
    }

    [Fact]
    public void Lambda_between_mixes_weights_and_activations()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(50, 20, hasBias: false);
        Tensor x = randn(6, 50), w = layer.weight!.detach();
        layer.Lambda = 0.25f;
        Tensor qx = StraightThrough.Activations(x, BitQuantConfig.Default), qw = StraightThrough.Weights(w, Granularity.PerTensor);
        Tensor mixed = nn.functional.linear((0.25 * qx) + (0.75 * x), (0.25 * qw) + (0.75 * w));
        // The layer rounds w + lambda · (q - w), this test another order.
        Assert.True(mixed.allclose(layer.call(x), rtol: 1e-5, atol: 1e-6));
    }

    [Fact]
    public void Eval_mode_does_not_ask_for_lambda()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(50, 20);
        Tensor x = randn(6, 50);
        layer.eval();
        Tensor packed = layer.call(x), floats = layer.call(x.clone().requires_grad_()).detach();
        layer.Lambda = 0;
        BitLinearTests.AssertEqual(packed, layer.call(x));
        BitLinearTests.AssertEqual(floats, layer.call(x.clone().requires_grad_()).detach());
    }

    [Theory]
    [InlineData(WeightScale.Absmean)]
    [InlineData(WeightScale.Absmedian)]
    public void Train_eval_and_deployed_agree_on_the_scale(WeightScale scaleOf)
    {
        using DisposeScope scope = NewDisposeScope();
        foreach (Granularity granularity in new[] { Granularity.PerTensor, Granularity.PerChannel })
        {
            using var layer = new BitLinear(50, 20, config: new() { WeightScale = scaleOf, WeightGranularity = granularity });
            Tensor x = randn(6, 50);
            Tensor trained = layer.call(x).detach();
            layer.eval();
            BitLinearTests.AssertClose(trained, layer.call(x));
            layer.Deploy();
            BitLinearTests.AssertClose(trained, layer.call(x));
        }
    }

    public static TheoryData<StraightThroughGradient, Granularity, float> Gradients()
    {
        var data = new TheoryData<StraightThroughGradient, Granularity, float>();
        foreach (StraightThroughGradient gradient in Enum.GetValues<StraightThroughGradient>())
        {
            foreach (float lambda in new[] { 0, 0.3f, 1 })
            {
                data.Add(gradient, Granularity.PerTensor, lambda);
                data.Add(gradient, Granularity.PerChannel, lambda);
            }
        }
        return data;
    }

    /// <summary>The surrogate is what the estimator pretends to differentiate: quantized(w₀) + s(w) - s(w₀), with
    /// s(w) = (1 - lambda) · w + lambda · c(w), where c is the identity or clamp(w, -scale, scale), the scale a constant.</summary>
    [Theory, MemberData(nameof(Gradients))]
    public void Gradients_are_the_finite_differences_of_the_surrogate(
        StraightThroughGradient gradient, Granularity granularity, float lambda)
    {
        using DisposeScope scope = NewDisposeScope();
        var config = new BitQuantConfig { Gradient = gradient, WeightGranularity = granularity };
        using var layer = new BitLinear(12, 5, config: config);
        layer.Lambda = lambda;
        Tensor x = randn(4, 12).requires_grad_();
        layer.call(x).pow(2).sum().backward();

        using IDisposable noGradients = no_grad();
        Tensor w0 = layer.weight!.to(float64), x0 = x.to(float64), b = layer.bias!.to(float64);
        Tensor qw = StraightThrough.Weights(layer.weight!, config, lambda).to(float64);
        Tensor qx = StraightThrough.Activations(x, config, lambda).to(float64);
        Tensor scale = layer.QWeightScale.to(float64).reshape(-1, 1);
        Tensor Surrogate(Tensor w) => gradient == StraightThroughGradient.Clipped
            ? ((1 - lambda) * w) + (lambda * w.minimum(scale).maximum(-scale))
            : w;
        double Loss(Tensor x, Tensor w) =>
            nn.functional.linear(qx + x - x0, qw + Surrogate(w) - Surrogate(w0), b).pow(2).sum().item<double>();

        AssertGradient(layer.weight!.grad!, w0, w => Loss(x0, w));
        AssertGradient(x.grad!, x0, x => Loss(x, w0));
        if (gradient == StraightThroughGradient.Clipped && lambda == 1)
            Assert.Contains(0f, layer.weight!.grad!.data<float>());
    }

    [Fact]
    public void A_schedule_leads_every_layer_to_1()
    {
        using var first = new BitLinear(8, 8);
        using var second = new BitLinear(8, 8);
        using var model = nn.Sequential(first, nn.ReLU(), second);
        var schedule = new TrainingSchedule(model, new() { Lambda = LambdaSchedule.Linear(4) });
        List<float> lambdas = [];
        for (int step = 0; step < 6; step++)
        {
            Assert.Equal(first.Lambda, second.Lambda);
            Assert.Equal(first.Lambda, schedule.Lambda);
            lambdas.Add(first.Lambda);
            schedule.Step();
        }
        Assert.Equal([0, 0.25f, 0.5f, 0.75f, 1, 1], lambdas);
        schedule.Steps = 1;
        Assert.Equal(0.25f, second.Lambda);
    }

    [Fact]
    public void Schedules_are_checked()
    {
        Assert.Equal(1, LambdaSchedule.Full.At(0));
        Assert.Equal(1, LambdaSchedule.Linear(0).At(0));
        Assert.Equal(0.5f, LambdaSchedule.Of(step => step / 4f).At(2));
        Assert.Throws<ArgumentOutOfRangeException>(() => LambdaSchedule.Linear(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => LambdaSchedule.Full.At(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => LambdaSchedule.Of(step => step).At(2));
        using var layer = new BitLinear(2, 2);
        Assert.Throws<ArgumentOutOfRangeException>(() => layer.Lambda = 2);
        Assert.Throws<ArgumentException>(() => new TrainingSchedule(layer, new() { WeightDecaySteps = 1 }));
        using var rmsProp = optim.RMSProp(layer.parameters());
        Assert.Throws<ArgumentException>(() => new TrainingSchedule(layer, new() { WeightDecaySteps = 1 }, rmsProp));
    }

    public static TheoryData<string> Optimizers => ["AdamW", "Adam", "SGD"];

    [Theory, MemberData(nameof(Optimizers))]
    public void Weight_decay_ends(string name)
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(4, 4);
        using optim.Optimizer optimizer = name switch
        {
            "AdamW" => optim.AdamW(layer.parameters(), 0.1, weight_decay: 0.5),
            "Adam" => optim.Adam(layer.parameters(), 0.1, weight_decay: 0.5),
            _ => optim.SGD(layer.parameters(), 0.1, weight_decay: 0.5),
        };
        var schedule = new TrainingSchedule(layer, new() { WeightDecaySteps = 2 }, optimizer);
        List<bool> decayed = [];
        for (int step = 0; step < 4; step++)
        {
            // Of a gradient of 0 no optimizer but by its decay makes a change; what Adam remembers is not asked.
            optimizer.zero_grad();
            (layer.weight! * 0).sum().backward();
            Tensor before = layer.weight!.clone().detach();
            optimizer.step();
            decayed.Add(!before.Equals(layer.weight!));
            schedule.Step();
        }
        Assert.Equal([true, true], decayed.Take(2));
        if (name != "Adam")
            Assert.Equal([false, false], decayed.Skip(2));
    }

    [Theory]
    [InlineData(StraightThroughGradient.Identity)]
    [InlineData(StraightThroughGradient.Clipped)]
    public void A_step_keeps_no_tensors(StraightThroughGradient gradient)
    {
        using var layer = new BitLinear(16, 16, config: new() { Gradient = gradient });
        layer.Lambda = 0.5f;
        Step();
        long before = Tensor.TotalCount;
        for (int i = 0; i < 3; i++)
            Step();
        Assert.Equal(before, Tensor.TotalCount);

        void Step()
        {
            using DisposeScope scope = NewDisposeScope();
            layer.call(randn(2, 16)).sum().backward();
            layer.zero_grad();
        }
    }

    [Fact]
    public void Gradients_accumulate_and_weights_may_be_used_twice()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(16, 16, hasBias: false);
        Tensor x = randn(3, 16);
        layer.call(x).sum().backward();
        Tensor once = layer.weight!.grad!.clone();
        layer.call(x).sum().backward();
        BitLinearTests.AssertEqual(once * 2, layer.weight!.grad!);
        layer.zero_grad();
        (layer.call(x) + layer.call(x)).sum().backward();
        BitLinearTests.AssertEqual(once * 2, layer.weight!.grad!);
    }

    [Fact]
    public void Weights_may_change_between_forward_and_backward()
    {
        using DisposeScope scope = NewDisposeScope();
        using var layer = new BitLinear(16, 16, hasBias: false);
        Tensor x = randn(3, 16).requires_grad_(), y = layer.call(x), qw = StraightThrough.Weights(layer.weight!.detach(), Granularity.PerTensor);
        using (no_grad())
            layer.weight!.zero_();
        y.backward([ones(3, 16)]);
        BitLinearTests.AssertClose(ones(3, 16).mm(qw), x.grad!);
    }

    // Central differences of a polynomial of degree 4 are off by about step² times it; the float32 of the layer by 1e-6 of the
    // largest.
    private static void AssertGradient(Tensor gradient, Tensor at, Func<Tensor, double> loss)
    {
        const double Step = 1e-6;
        Tensor expected = zeros_like(at), flat = expected.view(-1);
        for (long i = 0; i < at.numel(); i++)
        {
            double Moved(double by)
            {
                using Tensor moved = at.clone();
                moved.view(-1)[i] += by;
                return loss(moved);
            }

            flat[i] = (Moved(Step) - Moved(-Step)) / (2 * Step);
        }
        double largest = expected.abs().max().item<double>();
        Assert.True(expected.allclose(gradient.to(float64), rtol: 0, atol: 1e-5 * largest));
    }
}
