using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Analysis.Tests;

public class ModelCalibrationTests
{
    private static readonly ConversionOptions All = new() { KeepLast = false };

    public static TheoryData<Granularity, ActivationDtype, CalibrationMethod> Ways
    {
        get
        {
            var ways = new TheoryData<Granularity, ActivationDtype, CalibrationMethod>();
            foreach (CalibrationMethod method in Enum.GetValues<CalibrationMethod>())
            {
                foreach (ActivationDtype activations in Enum.GetValues<ActivationDtype>())
                {
                    ways.Add(Granularity.PerTensor, activations, method);
                    ways.Add(Granularity.PerChannel, activations, method);
                }
            }
            return ways;
        }
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void Outputs_for_data_that_it_has_not_seen_are_much_nearer_than_by_absmean(
        Granularity granularity, ActivationDtype activations, CalibrationMethod method)
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(1);
        ConversionOptions conversion = All with { Config = new BitQuantConfig { WeightGranularity = granularity, ActivationDtype = activations } };
        Sequential model = Network(), plain = Twin(model);
        Tensor seen = Data(600), unseen = Data(200), wanted = model.call(unseen).detach();
        plain.ConvertToBitLinear(conversion);
        model.Calibrate([seen[..300], seen[300..]], new CalibrationOptions { Conversion = conversion, Method = method });
        double before = Error(plain, unseen, wanted), after = Error(model, unseen, wanted);
        Assert.True(after < (method == CalibrationMethod.ErrorFeedback ? 0.3 : 0.6) * before, $"{after} after {before}");
    }

    [Theory]
    [InlineData(Granularity.PerTensor)]
    [InlineData(Granularity.PerChannel)]
    public void The_parameters_quantize_to_the_fitted_trits_in_every_state(Granularity granularity)
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(2);
        Sequential model = Network();
        Tensor x = Data(300);
        CalibrationReport report = model.Calibrate(
            [x], new CalibrationOptions { Conversion = All with { Config = new BitQuantConfig { WeightGranularity = granularity } } });
        Assert.True(model.training);
        model.eval();
        Tensor evaluated = model.call(x);
        foreach ((CalibratedLayer row, BitLinear layer) in report.Layers.Zip(model.children().OfType<BitLinear>()))
        {
            // Absmean by hand, on the parameters as they are.
            int k = (int)layer.in_features, groups = granularity == Granularity.PerTensor ? 1 : (int)layer.out_features;
            float[] weights = [.. layer.weight!.detach().data<float>()];
            sbyte[] trits = new sbyte[weights.Length];
            float[] scales = new float[groups];
            for (int i = 0, size = weights.Length / groups; i < groups; i++)
            {
                scales[i] = Absmean.Scale(weights.AsSpan(i * size, size));
                Absmean.Quantize(weights.AsSpan(i * size, size), scales[i], trits.AsSpan(i * size, size));
            }
            Assert.Equal(trits, layer.QWeight.data<sbyte>().ToArray());
            Assert.Equal(scales, layer.QWeightScale.data<float>().ToArray());
            Assert.Equal(scales.Select(s => (double)s).Average(), row.Scale, 1e-12);
            Assert.Equal(trits.Count(t => t == 0) / (double)trits.Length, row.Sparsity, 1e-12);
        }
        model.Deploy();
        Assert.True(evaluated.Equals(model.call(x)));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_errors_of_the_report_are_those_that_the_layers_make(bool correctsBias)
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(3);
        Sequential model = Network(), original = Twin(model), plain = Twin(model);
        Tensor x = Data(300);
        CalibrationReport report = model.Calibrate([x], new CalibrationOptions { Conversion = All, CorrectsBias = correctsBias });
        plain.ConvertToBitLinear(All);
        plain.eval();
        model.eval();
        using IDisposable noGradients = no_grad();
        Tensor y = x, yq = x;
        int row = 0;
        for (int i = 0; i < 5; i++)
        {
            Tensor input = yq;
            (y, yq) = (original[i].call(y), model[i].call(yq));
            if (i % 2 == 1)
                continue;
            // The report's figures come from sums in float64, these from the layers' float32.
            Assert.Equal(Relative(yq, y), report.Layers[row].ErrorAfter, 1e-5);
            Assert.Equal(Relative(plain[i].call(input), y), report.Layers[row].ErrorBefore, 1e-5);
            Assert.Equal(300, report.Layers[row++].Tokens);
        }
        if (!correctsBias)
            Assert.True(((BitLinear)model[0]).bias!.Equals(((Linear)original[0]).bias!));
    }

    public static TheoryData<nn.Module<Tensor, Tensor>, long[]> Convolutions => new()
    {
        { nn.Conv2d(3, 8, 3), [40, 3, 9, 7] },
        { nn.Conv2d(3, 8, (3, 2), stride: (2, 1), padding: (1, 2), dilation: (1, 2), bias: false), [40, 3, 9, 7] },
        { nn.Conv2d(3, 8, 3, padding: Padding.Same, padding_mode: PaddingModes.Circular), [40, 3, 9, 7] },
        { nn.Conv2d(3, 8, 2, padding: Padding.Same), [3, 30, 30] },
        { nn.Conv1d(3, 8, 4, stride: 2, padding: 1), [40, 3, 30] },
        { nn.Conv2d(2, 4, 1), [3, 2, 120, 130] },
    };

    [Theory]
    [MemberData(nameof(Convolutions), DisableDiscoveryEnumeration = true)]
    public void Convolutions_are_calibrated_to_what_they_compute(nn.Module<Tensor, Tensor> layer, long[] shape)
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(9);
        ConversionOptions conversion = All with { Convolutions = true };
        Tensor x = randn(shape) + 0.3, y;
        // The holder can take another layer; a model that is a convolution itself could not.
        using var model = nn.Sequential(("conv", layer));
        using (no_grad())
            y = model.call(x);
        Dictionary<string, Tensor> weights = model.state_dict().ToDictionary(pair => pair.Key, pair => pair.Value.clone());
        ConversionReport plain = model.ConvertToBitLinear(conversion);
        double before = Error(model, x, y);
        plain.Undo();
        Assert.Equal(before, model.Analyze([(x, y)], new AnalysisOptions { Conversion = conversion, Metric = Metric.MeanSquaredError }).Layers[0].Error, 1e-6);
        Assert.True(weights["conv.weight"].Equals(model.state_dict()["conv.weight"]));

        CalibratedLayer report = model.Calibrate([x], new CalibrationOptions { Conversion = conversion }).Layers.Single();
        Assert.Equal(y.numel() / weights["conv.weight"].size(0), report.Tokens);
        // The report's figures come from sums in float64, these from the layers' float32.
        Assert.Equal(before, report.ErrorBefore, 1e-5);
        Assert.Equal(Error(model, x, y), report.ErrorAfter, 1e-5);
        Assert.True(report.ErrorAfter < 0.9 * report.ErrorBefore, $"{report.ErrorAfter} after {report.ErrorBefore}");
    }

    [Fact]
    public void Convolutions_in_groups_are_converted_as_they_are_and_reckoned_with()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(10);
        using var model = nn.Sequential(
            ("conv", nn.Conv2d(4, 8, 3, groups: 2)), ("relu", nn.ReLU()), ("flat", nn.Flatten()), ("head", nn.Linear(8 * 16, 5)));
        Tensor x = randn(300, 4, 6, 6), y = model.call(x).detach(), weight = model.get_parameter("conv.weight")!.clone();
        CalibrationReport report = model.Calibrate([x], new CalibrationOptions { Conversion = All with { Convolutions = true } });
        Assert.Equal(["conv"], report.NotCalibrated.Select(layer => layer.Name));
        Assert.Contains("groups", report.NotCalibrated[0].Why, StringComparison.Ordinal);
        Assert.True(weight.Equals(model.get_parameter("conv.weight")!));
        // What the linear layer gets is what the ternary convolution makes.
        Assert.Equal(Error(model, x, y), report.Layers.Single().ErrorAfter, 1e-5);
    }

    [Fact]
    public void Keys_and_parameter_objects_stay_and_grafted_layers_are_calibrated_too()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(4);
        using var model = new Planted();
        Parameter[] before = [.. model.parameters()];
        string[] keys = [.. model.state_dict().Keys];
        (Tensor Input, Tensor Target)[] batches = model.Batches(12);
        CalibrationReport report = model.Calibrate(batches.Select(batch => batch.Input), new CalibrationOptions { Conversion = All });
        Assert.True(before.Zip(model.parameters()).All(pair => ReferenceEquals(pair.First, pair.Second)));
        Assert.Equal(keys, model.state_dict().Keys);
        Assert.Equal(ConversionOutcome.Grafted, report.Conversion!.Rows.Single(row => row.Name == "middle").Outcome);
        Assert.Equal(["first", "middle", "last"], report.Layers.Select(layer => layer.Name).OrderBy(name => name == "last").ThenBy(name => name));
        CalibratedLayer middle = report.Layers.Single(layer => layer.Name == "middle");
        Assert.True(middle.ErrorAfter < middle.ErrorBefore);
        model.eval();
        Tensor evaluated = model.call(batches[0].Input);
        model.Deploy();
        Assert.True(evaluated.Equals(model.call(batches[0].Input)));
    }

    [Fact]
    public void With_few_tokens_the_weights_stay_near_the_float_ones()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(5);
        Sequential model = Network(), plain = Twin(model);
        Tensor unseen = Data(200), wanted = model.call(unseen).detach();
        plain.ConvertToBitLinear(All);
        // Fewer tokens than inputs: least squares alone has no single answer.
        model.Calibrate([Data(10)], new CalibrationOptions { Conversion = All });
        Assert.True(Error(model, unseen, wanted) < Error(plain, unseen, wanted));
    }

    [Fact]
    public void What_is_called_twice_or_not_at_all_or_has_no_bias_is_told_and_works()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(6);
        Linear twice = nn.Linear(16, 16, hasBias: false), never = nn.Linear(16, 16);
        using var model = nn.Sequential(("a", twice), ("b", nn.ReLU()), ("never", never));
        Tensor x = Data(100);
        CalibrationReport report = model.Calibrate(
            () =>
            {
                var a = (nn.Module<Tensor, Tensor>)model.children().First();
                using Tensor y = a.call(x), z = a.call(y);
            },
            new CalibrationOptions { Conversion = All });
        Assert.Equal([("a", 200L)], report.Layers.Select(layer => (layer.Name, layer.Tokens)));
        Assert.Equal([new UncalibratedLayer("never", "the model did not call it")], report.NotCalibrated);
        Assert.Equal(2, report.Conversion!.Converted.Count());
        Assert.True(report.Layers[0].ErrorAfter < 0.6 * report.Layers[0].ErrorBefore);
    }

    [Theory]
    [InlineData(ScalarType.BFloat16, false)]
    [InlineData(ScalarType.Float64, false)]
    [InlineData(ScalarType.Float32, true)]
    public void Other_types_and_a_norm_before_the_layer_are_calibrated(ScalarType type, bool subLN)
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(7);
        Sequential model = Network(), plain = Twin(model);
        model.to(type);
        plain.to(type);
        Tensor x = Data(400).to(type), wanted = model.call(x).detach();
        ConversionOptions conversion = All with { SubLN = subLN };
        plain.ConvertToBitLinear(conversion);
        model.Calibrate([x], new CalibrationOptions { Conversion = conversion });
        Assert.True(Error(model, x, wanted) < 0.5 * Error(plain, x, wanted));
        Assert.Equal(type, model.parameters().First().dtype);
    }

    [Fact]
    public void What_cannot_be_done_leaves_the_model_as_it_was()
    {
        using DisposeScope scope = NewDisposeScope();
        Sequential model = Network();
        Tensor x = Data(20), before = model.call(x).detach();
        int runs = 0;
        Assert.Throws<InvalidTimeZoneException>(() => model.Calibrate(() =>
        {
            model.call(x).Dispose();
            if (++runs == 4)
                throw new InvalidTimeZoneException();
        }));
        Assert.Equal(4, runs);
        var median = new CalibrationOptions { Conversion = All with { Config = new BitQuantConfig { WeightScale = WeightScale.Absmedian } } };
        Assert.Contains("median", Assert.Throws<ArgumentException>(() => model.Calibrate([x], median)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => new CalibrationOptions { Damping = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new CalibrationOptions { Damping = double.NaN });
        using Tensor nothing = Data(20);
        nothing[0, 0] = float.NaN;
        Assert.Throws<ArgumentException>(() => model.Calibrate([nothing]));
        Assert.True(model.training);
        Assert.True(before.Equals(model.call(x)));
        Assert.DoesNotContain(model.modules(), module => module is BitLinear);
        using (no_grad())
            ((Linear)model[2]).weight[0, 0] = float.NaN;
        Assert.Contains("'2'", Assert.Throws<QuantizationException>(() => model.Calibrate([x])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nothing_is_left_behind()
    {
        random.manual_seed(11);
        using Tensor x = Data(64), y = randn(64, 8);
        long held = BitLabRuntime.WeightBytesHeld, alive = 0;
        // The first time, LibTorch and TorchSharp make things to keep.
        for (int round = 0; round < 3; round++)
        {
            long before = Tensor.TotalCount;
            using (Sequential model = Network())
            {
                model.Analyze([(x, y)], new AnalysisOptions { Metric = Metric.MeanSquaredError, Conversion = All });
                model.Calibrate([x], new CalibrationOptions { Conversion = All });
                model.eval();
            }
            alive = Tensor.TotalCount - before;
            Assert.Equal(held, BitLabRuntime.WeightBytesHeld);
        }
        // Each parameter ever made is counted once too often: those of the network and of its two copies.
        Assert.Equal(3 * 6, alive);
    }

    [Fact]
    public void Its_report_comes_back_from_json_and_is_a_table()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(8);
        Sequential model = Network();
        CalibrationReport report = model.Calibrate([Data(50)]);
        CalibrationReport back = CalibrationReport.FromJson(report.ToJson());
        Assert.Equal(report.ToJson(), back.ToJson());
        Assert.Equal(report.Layers, back.Layers);
        Assert.Null(back.Conversion);
        Assert.Equal(["0", "2"], report.Layers.Select(layer => layer.Name));
        string[] lines = AnalysisReportTests.Console(back.ToTable());
        Assert.Contains(lines, line => line.TrimStart().StartsWith("2 ", StringComparison.Ordinal) && line.Contains(" 50 ", StringComparison.Ordinal));
    }

    private static Sequential Network() =>
        nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 8));

    private static Sequential Twin(Sequential model)
    {
        Sequential twin = Network();
        twin.load_state_dict(model.state_dict());
        return twin;
    }

    // Inputs that depend on each other and have a mean, as data do.
    private static Tensor Data(long rows)
    {
        using var generator = new Generator(7);
        Tensor mix = randn(6, 16, generator: generator);
        return randn(rows, 6).mm(mix) + (0.1 * randn(rows, 16)) + 0.5;
    }

    private static double Error(nn.Module<Tensor, Tensor> model, Tensor x, Tensor wanted)
    {
        using IDisposable noGradients = no_grad();
        model.eval();
        return Relative(model.call(x), wanted);
    }

    private static double Relative(Tensor found, Tensor wanted) =>
        Math.Sqrt(((found - wanted).to(ScalarType.Float64).square().sum() / wanted.to(ScalarType.Float64).square().sum()).item<double>());
}
