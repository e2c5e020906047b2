using BitLab.Core;
using BitLab.Layers;
using SomeoneElsesModels;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Analysis.Tests;

public class ModelAnalysisTests
{
    [Fact]
    public void Errors_sparsity_and_scale_are_those_computed_by_hand()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(2);
        Sequential model = Network();
        (Tensor Input, Tensor Target)[] batches = Batches(2);
        AnalysisReport report = model.Analyze(batches, new AnalysisOptions { Metric = Metric.MeanSquaredError });

        var first = (Linear)model[0];
        // The formulas once more, in LibTorch's operations: absmean weights, absmax activations.
        Tensor w = first.weight.detach(), scale = w.abs().mean(), trits = (w / scale).round().clamp(-1, 1);
        double difference = 0, magnitude = 0;
        foreach ((Tensor x, _) in batches)
        {
            Tensor range = x.abs().amax([1], keepdim: true);
            Tensor quantized = (x * (127 / range)).round() * (range / 127);
            Tensor y = x.matmul(w.T) + first.bias!, yq = quantized.matmul((trits * scale).T) + first.bias!;
            difference += (yq - y).square().sum().item<float>();
            magnitude += y.square().sum().item<float>();
        }
        LayerAnalysis layer = report.Layers[0];
        // Sums in float32 here, in float64 there.
        Assert.Equal(Math.Sqrt(difference / magnitude), layer.Error, 1e-5);
        Assert.InRange(layer.Error, 0.05, 0.9);
        Assert.Equal(scale.item<float>(), layer.Scale, 1e-7);
        Assert.Equal(trits.eq(0).to(float32).mean().item<float>(), layer.Sparsity, 1e-6);
        Assert.Equal(("0", "Linear", 2), (layer.Name, layer.Layer, layer.Calls));
        Assert.Equal([24L, 12], layer.Shape);
        Assert.Equal(4 * ((24 * 12) + 24), layer.BytesBefore);
    }

    [Fact]
    public void The_error_of_a_later_layer_is_that_for_its_float_input()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(3);
        Sequential model = Network();
        (Tensor Input, Tensor Target)[] batches = Batches(1);
        AnalysisReport report = model.Analyze(batches, new AnalysisOptions { Metric = Metric.MeanSquaredError });

        Tensor hidden = model[1].call(model[0].call(batches[0].Input)).detach();
        AnalysisReport alone = ((Linear)model[2]).Analyze([(hidden, zeros(20, 24))], new AnalysisOptions { Metric = Metric.MeanSquaredError });
        Assert.Equal(alone.Layers[0].Error, report.Layers[1].Error, 1e-12);
        Assert.Equal("", alone.Layers[0].Name);
    }

    [Fact]
    public void Each_metric_is_that_of_a_conversion()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(4);
        Sequential model = Network();
        (Tensor Input, Tensor Target)[] batches = Batches(3);
        var conversion = new ConversionOptions
        {
            KeepLast = false,
            Config = new BitQuantConfig { WeightGranularity = Granularity.PerChannel },
        };
        AnalysisReport report =
            model.Analyze(batches, new AnalysisOptions { Metric = Metric.MeanSquaredError, Conversion = conversion, MaxDrop = 1e-3 });

        Assert.Equal(Evaluate(conversion with { Skip = ["0", "2", "4"] }), report.FloatMetric);
        Assert.Equal(Evaluate(conversion with { Skip = ["2", "4"] }), report.Layers[0].Metric);
        Assert.Equal(Evaluate(conversion with { Skip = ["0", "4"] }), report.Layers[1].Metric);
        Assert.Equal(Evaluate(conversion with { Skip = ["0", "2"] }), report.Layers[2].Metric);
        Assert.Equal(Evaluate(conversion), report.AllTernaryMetric);
        Assert.Equal(Evaluate(report.RecommendedOptions), report.RecommendedMetric);
        Assert.Equal(report.Layers.Select(layer => layer.Metric - report.FloatMetric), report.Layers.Select(layer => layer.Drop));
        Assert.Equal([1, 2, 3], report.Layers.OrderByDescending(layer => layer.Drop).Select(layer => layer.Rank));

        double Evaluate(ConversionOptions options)
        {
            ConversionReport converted = model.ConvertToBitLinear(options);
            model.eval();
            using IDisposable noGradients = no_grad();
            double mean = batches.Sum(batch => Metric.MeanSquaredError.Of(model.call(batch.Input), batch.Target) * batch.Input.size(0))
                / batches.Sum(batch => batch.Input.size(0));
            converted.Undo();
            return mean;
        }
    }

    [Fact]
    public void A_planted_sensitive_layer_is_found_and_keeping_it_is_enough()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(5);
        using var model = new Planted();
        (Tensor Input, Tensor Target)[] batches = model.Batches(3);
        AnalysisReport report = model.Analyze(batches, new AnalysisOptions { MaxDrop = 0.05 });

        Assert.Equal(1, report.FloatMetric);
        Assert.Equal(1, report.Layers.Single(layer => layer.Name == "middle").Rank);
        Assert.True(report.AllTernaryMetric < 0.5);
        Assert.Equal(["middle"], report.Kept.Select(layer => layer.Name));
        Assert.InRange(report.RecommendedMetric, 0.95, 1);

        ConversionReport converted = model.ConvertToBitLinear(report.RecommendedOptions);
        Assert.Equal(["first", "last"], converted.Converted.Select(row => row.Name));
        Assert.Equal(report.RecommendedMetric, Accuracy(model, batches));
        converted.Undo();

        // A bound that nothing ternary keeps.
        AnalysisReport strict = model.Analyze(batches, new AnalysisOptions { MaxDrop = -1e-9 });
        Assert.Equal(3, strict.Kept.Count());
        Assert.Equal(strict.FloatMetric, strict.RecommendedMetric);
    }

    [Fact]
    public void Needless_sacrifices_are_taken_back()
    {
        using DisposeScope scope = NewDisposeScope();
        var model = nn.Sequential(("a", nn.Linear(4, 4)), ("b", nn.Linear(4, 4)), ("c", nn.Linear(4, 4)));
        // A metric of the test's own: a looks worst alone, but costs nothing where b is kept.
        AnalysisReport report = model.Analyze(
            () =>
            {
                using Tensor x = ones(1, 4);
                bool[] isTernary = [.. model.named_children().Select(child => IsTernary((Linear)child.module))];
                return isTernary switch
                {
                    [true, false, false] => 0.8,
                    [false, true, false] => 0.9,
                    [false, false, true] => 0.985,
                    [_, true, _] => 0.5,
                    [false, false, false] => 1,
                    _ => 0.99,
                };
            },
            new AnalysisOptions { MaxDrop = 0.02 });
        Assert.Equal([1, 2, 3], report.Layers.Select(layer => layer.Rank));
        Assert.Equal(["b"], report.Kept.Select(layer => layer.Name));
        Assert.Equal(0.99, report.RecommendedMetric);

        static bool IsTernary(Linear layer)
        {
            using Tensor x = rand(8, 4), y = layer.call(x), z = nn.functional.linear(x, layer.weight, layer.bias);
            return !z.allclose(y, rtol: 1e-6, atol: 1e-7);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_model_is_as_before_bit_by_bit_and_in_its_modes(bool throws)
    {
        using DisposeScope scope = NewDisposeScope();
        using var model = new Planted();
        (Tensor Input, Tensor Target)[] batches = model.Batches(2);
        model.train();
        nn.Module still = model.named_modules().Single(named => named.name == "middle").module;
        still.train(false);
        int usersCalls = 0;
        ((Linear)still).register_forward_hook((_, _, _) =>
        {
            usersCalls++;
            return null!;
        });
        (string Name, Tensor Value)[] before = [.. model.named_parameters().Select(p => (p.name, p.parameter.clone()))];
        Parameter[] objects = [.. model.parameters()];
        nn.Module[] modules = [.. model.modules()];
        Tensor x = batches[0].Input, answer = Evaluate();
        int batch = 0;
        var options = new AnalysisOptions
        {
            Metric = new Metric("the third batch throws", true, (output, _) =>
                throws && ++batch == 3 ? throw new InvalidTimeZoneException() : output.abs().mean().item<float>()),
        };
        random.manual_seed(8);
        if (throws)
            Assert.Throws<InvalidTimeZoneException>(() => model.Analyze(batches, options));
        else
            model.Analyze(batches, options);
        Tensor drawn = rand(3);

        random.manual_seed(8);
        Assert.True(drawn.Equals(rand(3)));
        Assert.True(model.training);
        Assert.False(still.training);
        Assert.Equal(modules, model.modules());
        Assert.True(objects.Zip(model.parameters()).All(pair => ReferenceEquals(pair.First, pair.Second)));
        foreach ((string name, Tensor value) in before)
            Assert.True(model.get_parameter(name)!.Equals(value), name);
        Assert.True(is_grad_enabled());
        Assert.True(usersCalls > 0);
        Assert.True(answer.Equals(Evaluate()));
        Assert.DoesNotContain(model.modules(), module => module is BitLinear);

        Tensor Evaluate()
        {
            model.eval();
            Tensor y = model.call(x).detach();
            model.train();
            still.train(false);
            return y;
        }
    }

    [Fact]
    public void A_users_hook_sees_and_changes_what_the_ternary_layer_computes()
    {
        using DisposeScope scope = NewDisposeScope();
        Linear layer = nn.Linear(8, 4);
        Tensor x = randn(5, 8);
        layer.register_forward_hook((_, _, output) => output * 3);
        double Mean() => layer.call(x).mean().item<float>();
        AnalysisReport report = layer.Analyze(Mean);
        ConversionReport converted = layer.ConvertToBitLinear(new ConversionOptions { KeepLast = false });
        layer.eval();
        Assert.Equal(Mean(), report.AllTernaryMetric);
        Assert.NotEqual(report.FloatMetric, report.AllTernaryMetric);
        converted.Undo();
    }

    [Fact]
    public void A_weight_that_is_not_a_number_is_named_and_nothing_is_changed()
    {
        using DisposeScope scope = NewDisposeScope();
        Sequential model = Network();
        using (no_grad())
            ((Linear)model[2]).weight[0, 0] = float.NaN;
        var error = Assert.Throws<QuantizationException>(() => model.Analyze(Batches(1)));
        Assert.Contains("'2'", error.Message, StringComparison.Ordinal);
        Assert.True(model.training);
        Assert.Equal(Batches(1)[0].Input.size(0), model.call(Batches(1)[0].Input).size(0));
    }

    [Fact]
    public void A_ternary_layer_that_cannot_be_packed_leaves_no_trace_either()
    {
        using DisposeScope scope = NewDisposeScope();
        using var model = nn.Sequential(("first", nn.Linear(4, 4)), ("second", new BitLinear(4, 4)));
        using (no_grad())
            ((BitLinear)model.children().Last()).weight![0, 0] = float.NaN;
        Assert.Throws<QuantizationException>(() => model.Analyze(() => 0));
        Assert.True(is_grad_enabled());
        Assert.True(model.children().First().training);
    }

    [Fact]
    public void Somebody_elses_models_are_analyzed_as_they_are_converted()
    {
        using DisposeScope scope = NewDisposeScope();
        using var model = new Mixture();
        (Tensor Input, Tensor Target)[] batches = [(randn(16, 24), randn(16, 5))];
        AnalysisReport report = model.Analyze(batches, new AnalysisOptions { Metric = Metric.MeanSquaredError });
        ConversionReport converted = model.ConvertToBitLinear(new ConversionOptions { KeepLast = false });
        Assert.Equal(converted.Converted.Select(row => row.Name), report.Layers.Select(layer => layer.Name));
        Assert.Equal(converted.Converted.Select(row => row.BytesAfter), report.Layers.Select(layer => layer.BytesAfter));
        model.eval();
        Assert.Equal(Metric.MeanSquaredError.Of(model.call(batches[0].Input), batches[0].Target), report.AllTernaryMetric);
    }

    [Fact]
    public void What_the_options_leave_out_stays_out_of_the_recommendation()
    {
        using DisposeScope scope = NewDisposeScope();
        Sequential model = Network();
        AnalysisReport report = model.Analyze(
            Batches(1), new AnalysisOptions { Metric = Metric.MeanSquaredError, MaxDrop = 1e9, Conversion = new() { KeepFirst = true } });
        Assert.Equal(["2"], report.Layers.Select(layer => layer.Name));
        Assert.Equal(["2"], model.ConvertToBitLinear(report.RecommendedOptions).Converted.Select(row => row.Name));
        var nothing = Assert.Throws<ArgumentException>(() => Network().Analyze(Batches(1), new() { Conversion = new() { MinWeights = 9999 } }));
        Assert.Contains("MinWeights", nothing.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => Network().Analyze([]));
    }

    [Fact]
    public void A_layer_that_is_never_called_is_told_apart()
    {
        using DisposeScope scope = NewDisposeScope();
        Sequential model = Network();
        Tensor x = randn(3, 24);
        AnalysisReport report = model.Analyze(() => model[2].call(x).mean().item<float>());
        Assert.Equal([0, 1, 0], report.Layers.Select(layer => layer.Calls));
        Assert.Equal(0, report.Layers[0].Error);
    }

    [Fact]
    public void The_metrics_are_those_computed_by_hand()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor output = tensor(new float[] { 1, 2, 0, 4, 1, 1 }, 2, 3), target = tensor(new long[] { 1, 2 });
        Assert.Equal(0.5, Metric.Accuracy.Of(output, target));
        double[] losses = [Math.Log(Math.E + Math.Exp(2) + 1) - 2, Math.Log(Math.Exp(4) + (2 * Math.E)) - 1];
        Assert.Equal(losses.Average(), Metric.CrossEntropy.Of(output, target), 1e-12);
        Assert.Equal(2.5, Metric.MeanSquaredError.Of(tensor(new float[] { 1, 2 }), tensor(new float[] { 2, 4 })));
    }

    internal static double Accuracy(nn.Module<Tensor, Tensor> model, (Tensor Input, Tensor Target)[] batches)
    {
        using IDisposable noGradients = no_grad();
        model.eval();
        return batches.Sum(batch => Metric.Accuracy.Of(model.call(batch.Input), batch.Target) * batch.Input.size(0))
            / batches.Sum(batch => batch.Input.size(0));
    }

    private static Sequential Network() =>
        nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 6));

    private static (Tensor Input, Tensor Target)[] Batches(int count) =>
        [.. Enumerable.Range(0, count).Select(i => (randn(20 + i, 12), randn(20 + i, 6)))];
}
