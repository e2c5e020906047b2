using System.Buffers.Binary;
using System.Text.Json;
using BitLab.Core;
using BitLab.Layers;
using Spectre.Console;

namespace BitLab.Analysis.Tests;

public sealed class AnalysisReportTests : IDisposable
{
    private static readonly AnalysisReport Report = new()
    {
        MetricName = "[words] per guess",
        HigherIsBetter = false,
        FloatMetric = 1.0 / 3,
        AllTernaryMetric = double.NaN,
        RecommendedMetric = 0.4,
        MaxDrop = 0.1,
        Config = new BitQuantConfig { WeightGranularity = Granularity.PerChannel },
        SubLN = true,
        Convolutions = true,
        LeftOut = ["head"],
        Layers =
        [
            Layer("encoder.[0].fc", rank: 2, error: 0.25, metric: 0.35, drop: 0.35 - (1.0 / 3)),
            Layer("encoder.[1].fc", rank: 1, error: 0.5, metric: double.NaN, drop: double.PositiveInfinity) with { Keep = true },
        ],
    };

    private readonly string folder = Directory.CreateTempSubdirectory("bitlab-report-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Json_brings_everything_back_also_what_is_no_number()
    {
        string json = Report.ToJson();
        AnalysisReport back = AnalysisReport.FromJson(json);
        Assert.Equal(json, back.ToJson());
        Assert.Equal(Report.Layers.Select(layer => layer with { Shape = [] }), back.Layers.Select(layer => layer with { Shape = [] }));
        Assert.Equal(Report.Layers[0].Shape, back.Layers[0].Shape);
        Assert.Equal(Report with { Layers = [], LeftOut = [] }, back with { Layers = [], LeftOut = [] });
        Assert.Equal(["head"], back.LeftOut);
        ConversionOptions options = back.RecommendedOptions;
        Assert.Equal(["head", "encoder.[1].fc"], options.Skip);
        Assert.Equal((Report.Config, true, true, false), (options.Config, options.SubLN, options.Convolutions, options.KeepLast));
        using JsonDocument document = JsonDocument.Parse(json);
        Assert.Equal("per_channel", document.RootElement.GetProperty("config").GetProperty("weight_granularity").GetString());
        Assert.Equal(0.25, document.RootElement.GetProperty("layers")[0].GetProperty("error").GetDouble());
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("null")]
    [InlineData("{ \"layers\": 3 }")]
    [InlineData("no JSON")]
    public void Json_that_is_no_report_is_an_error(string json) => Assert.Throws<BitLabException>(() => AnalysisReport.FromJson(json));

    [Fact]
    public void The_table_has_a_line_for_each_layer_and_the_sums()
    {
        string[] lines = Console(Report.ToTable());
        string first = Assert.Single(lines, line => line.Contains("encoder.[0].fc", StringComparison.Ordinal));
        Assert.Contains(" 25.0 ", first, StringComparison.Ordinal);
        Assert.Contains("0.0167", first, StringComparison.Ordinal);
        Assert.Contains("keep", Assert.Single(lines, line => line.Contains("encoder.[1].fc", StringComparison.Ordinal)), StringComparison.Ordinal);
        Assert.Contains("[words] per guess", lines[1], StringComparison.Ordinal);
        // Two layers of 800 and 60 bytes; one of them is kept.
        Assert.Contains(" 1,600 ", Assert.Single(lines, line => line.Contains("all float", StringComparison.Ordinal)), StringComparison.Ordinal);
        Assert.Contains(" 120 ", Assert.Single(lines, line => line.Contains("all ternary", StringComparison.Ordinal)), StringComparison.Ordinal);
        string recommended = Assert.Single(lines, line => line.Contains("recommended", StringComparison.Ordinal));
        Assert.Contains(" 860 ", recommended, StringComparison.Ordinal);
        Assert.Contains(" 0.4000 ", recommended, StringComparison.Ordinal);
        Assert.Contains(" 0.0667 ", recommended, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, 156)]
    [InlineData(40, 1170)]
    public void The_plot_is_a_png_that_grows_with_the_layers(int layers, int height)
    {
        string path = Path.Combine(folder, "plot.png");
        (Report with { Layers = [.. Enumerable.Repeat(Report.Layers[0], layers - 1), Report.Layers[1]] }).SavePlot(path);
        byte[] png = File.ReadAllBytes(path);
        Assert.Equal(new byte[] { 0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A }, png[..8]);
        Assert.Equal((1200, height), (BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(16)), BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(20))));
    }

    internal static string[] Console(Table table)
    {
        using var text = new StringWriter();
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.No,
            ColorSystem = ColorSystemSupport.NoColors,
            Out = new AnsiConsoleOutput(text),
        });
        console.Profile.Width = 200;
        console.Write(table);
        return text.ToString().Split('\n');
    }

    private static LayerAnalysis Layer(string name, int rank, double error, double metric, double drop) => new()
    {
        Name = name,
        Layer = "Linear",
        Shape = [10, 20],
        Calls = 3,
        Error = error,
        Sparsity = 0.31,
        Scale = 0.02,
        BytesBefore = 800,
        BytesAfter = 60,
        Metric = metric,
        Drop = drop,
        Rank = rank,
        Keep = false,
    };
}
