using BitLab.Core;
using SomeoneElsesModels;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Layers.Tests;

[Collection(nameof(CountsWeightBytes))]
public class ConversionOptionsTests
{
    private static readonly ConversionOptions Everything = new() { KeepLast = false, Convolutions = true };

    [Fact]
    public void The_last_layer_is_kept_and_the_report_says_so()
    {
        using var model = ConversionTests.Make("language model");
        ConversionReport report = model.ConvertToBitLinear();
        ConversionRow head = report.Rows.Single(row => row.Name == "head");
        Assert.Equal((ConversionOutcome.Kept, "the last layer (KeepLast)"), (head.Outcome, head.Why));
        Assert.Equal(report.Rows.Count - 1, report.Converted.Count());
        Assert.Contains("the last layer (KeepLast)", report.ToString());
        Assert.Contains(report.Notes, note => note.Contains("layer.forward(x)"));
    }

    [Theory]
    [InlineData("*.attention.*", 4)]
    [InlineData("blocks.0", 3 + 3)]
    [InlineData("blocks.?.mlp.up", 2)]
    [InlineData("*", 13)]
    public void Skipped_paths_are_left_alone(string pattern, int expected)
    {
        using var model = ConversionTests.Make("language model");
        ConversionReport report = model.ConvertToBitLinear(Everything with { Skip = [pattern] });
        int kept = report.Rows.Count(row => row.Outcome == ConversionOutcome.Kept);
        int byHand = model.named_modules().Count(m => m.module is Linear && !m.module.named_children().Any() && Matches(m.name));
        Assert.Equal(byHand, kept);
        Assert.Equal(pattern == "*.attention.*" ? 8 : expected, kept);

        bool Matches(string name) => pattern switch
        {
            "*.attention.*" => name.Contains(".attention."),
            "blocks.0" => name.StartsWith("blocks.0."),
            "*" => true,
            _ => name.EndsWith(".mlp.up"),
        };
    }

    [Fact]
    public void A_pattern_that_fits_nothing_is_told()
    {
        using var model = ConversionTests.Make("sequential");
        Assert.Contains(
            model.ConvertToBitLinear(new() { Skip = ["haed"] }).Notes, note => note == "Skip: 'haed' is the path of no module.");
    }

    [Fact]
    public void Types_small_layers_and_the_first_can_be_left_alone()
    {
        using var model = ConversionTests.Make("language model");
        ConversionReport report = model.ConvertToBitLinear(
            Everything with { SkipTypes = [typeof(CausalSelfAttention)], MinWeights = 50 * 32 + 1, KeepFirst = true });
        Assert.All(report.Rows, row => Assert.Equal(row.Name.Contains(".mlp."), row.IsConverted));
        using var sequential = ConversionTests.Make("sequential");
        Assert.Equal(
            "the first layer (KeepFirst)", sequential.ConvertToBitLinear(new() { KeepFirst = true }).Rows[0].Why);
    }

    [Theory]
    [InlineData("sequential")]
    [InlineData("mixture")]
    [InlineData("language model")]
    [InlineData("convolutions")]
    public void With_lambda_0_nothing_is_quantized_yet(string name)
    {
        using DisposeScope scope = NewDisposeScope();
        using nn.Module<Tensor, Tensor> model = ConversionTests.Make(name);
        Tensor x = ConversionTests.Input(name), before = model.call(x);
        Assert.NotEmpty(model.ConvertToBitLinear(Everything).Converted);
        foreach ((_, BitLayerBase layer) in BitModules.NamedLayers(model))
            layer.Lambda = 0;
        BitLinearTests.AssertEqual(before, model.call(x));
    }

    [Fact]
    public void SubLN_adds_a_norm_that_trains()
    {
        using DisposeScope scope = NewDisposeScope();
        using var model = ConversionTests.Make("sequential");
        int parameters = model.parameters().Count();
        ConversionReport report = model.ConvertToBitLinear(new() { SubLN = true });
        Assert.Equal(parameters + report.Converted.Count(), model.parameters().Count());
        Assert.Contains("in.rms_norm.weight", model.state_dict().Keys);
        model.call(ConversionTests.Input("sequential")).sum().backward();
        Assert.All(model.parameters(), p => Assert.NotNull(p.grad));
    }

    [Fact]
    public void Bytes_are_those_that_deployment_leaves()
    {
        using var model = ConversionTests.Make("sequential");
        ConversionReport report = model.ConvertToBitLinear(Everything);
        Assert.Equal(model.parameters().Sum(p => 4 * p.numel()), report.BytesBefore);
        model.Deploy();
        long held = BitModules.NamedLayers(model).Sum(found => found.Layer.PackedBytes)
            + model.parameters().Sum(p => 4 * p.numel());
        Assert.Equal(held, report.BytesAfter);
    }

    [Fact]
    public void Convolutions_are_converted_on_request()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(1);
        using var model = new ConvNet();
        string[] keys = [.. model.state_dict().Keys];
        Parameter[] parameters = [.. model.parameters()];
        ConversionReport asked = model.ConvertToBitLinear(Everything);
        Assert.Equal(
            ["conv1", "conv2", "exact", "over.0", "head"], asked.Converted.Select(row => row.Name));
        ConversionRow exact = asked.Rows.Single(row => row.Name == "exact");
        Assert.Equal((ConversionOutcome.Grafted, "ConvNet.exact is a Conv2d"), (exact.Outcome, exact.Why));
        Assert.Equal(keys, model.state_dict().Keys);
        Assert.All(parameters.Zip(model.parameters()), pair => Assert.Same(pair.First, pair.Second));
        Tensor x = randn(2, 2, 15, 13), trained = model.call(x);
        model.eval();
        // An activation of the next layer may be rounded to the neighbouring integer.
        BitLinearTests.AssertClose(trained, model.call(x), relative: 0.05);
        Tensor evaluated = model.call(x);
        model.Deploy();
        BitLinearTests.AssertEqual(evaluated, model.call(x));
    }

    [Fact]
    public void Converted_convolutions_can_be_undone()
    {
        using DisposeScope scope = NewDisposeScope();
        using var model = new ConvNet();
        Tensor x = randn(2, 2, 15, 13), before = model.call(x);
        ConversionReport report = model.ConvertToBitLinear(Everything);
        Assert.False(before.Equals(model.call(x)));
        report.Undo();
        BitLinearTests.AssertClose(before, model.call(x));
    }

    [Fact]
    public void Without_request_convolutions_stay_and_are_named()
    {
        using var model = new ConvNet();
        ConversionReport report = model.ConvertToBitLinear();
        Assert.Empty(report.Converted);
        Assert.Equal(4, report.Rows.Count(row => row.Why == "a convolution: ConversionOptions.Convolutions converts it"));
    }

    [Fact]
    public void Layers_whose_weights_are_read_by_a_forward_are_named()
    {
        using DisposeScope scope = NewDisposeScope();
        using var model = new WeightReader();
        ConversionReport report = model.ConvertToBitLinear(Everything);
        Assert.Equal(
            [
                ("tied", ConversionOutcome.NotConvertible), ("inClosure", ConversionOutcome.NotConvertible),
                ("called", ConversionOutcome.Grafted), ("head", ConversionOutcome.Grafted),
            ],
            report.Rows.Select(row => (row.Name, row.Outcome)));
        Assert.Equal("WeightReader.forward reads its weight itself", report.Rows[0].Why);
        model.Deploy();
        Assert.Equal([3, 4], model.call(randn(3, 12)).shape);
    }

    [Fact]
    public void Native_layers_are_named_with_their_stand_ins()
    {
        using var model = nn.Sequential(
            ("in", nn.Linear(8, 8)), ("encoder", nn.TransformerEncoderLayer(8, 2, 16)), ("out", nn.Linear(8, 3)));
        ConversionRow row = model.ConvertToBitLinear().Rows.Single(row => row.Name == "encoder");
        Assert.Equal(ConversionOutcome.NotConvertible, row.Outcome);
        Assert.Contains("ManagedTransformerEncoderLayer.From", row.Why);
    }

    [Fact]
    public void A_weight_that_is_not_finite_stops_the_conversion_before_anything_is_changed()
    {
        using DisposeScope scope = NewDisposeScope();
        using var model = ConversionTests.Make("sequential");
        nn.Module[] modules = [.. model.modules()];
        using (no_grad())
            model.get_parameter("sub.0.weight")!.fill_(float.NaN);
        model.eval();
        Assert.Throws<QuantizationException>(() => model.ConvertToBitLinear(Everything));
        Assert.True(modules.SequenceEqual(model.modules(), ReferenceEqualityComparer.Instance));
        Assert.NotNull(model.call(randn(1, 20)));
    }
}
