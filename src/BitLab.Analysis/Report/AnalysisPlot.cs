using ScottPlot;
using ScottPlot.MultiplotLayouts;
using ScottPlot.Plottables;
using ScottPlot.TickGenerators;

namespace BitLab.Analysis;

/// <summary>A report as a picture: the layers from top to bottom, their errors at the left, their drops at the right.</summary>
internal static class AnalysisPlot
{
    private const int Width = 1200;
    private const int Margins = 130;
    private const int HeightOfLayer = 26;

    // Beyond this the labels overlap, but a picture is still one that can be opened.
    private const int MaxHeight = 12_000;

    private static readonly Color Ternary = Colors.C0;
    private static readonly Color Kept = Colors.C1;

    public static void Save(AnalysisReport report, string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using var errors = new Plot();
        using var drops = new Plot();
        var both = new Multiplot { Layout = new Columns() };
        both.Reset(errors);
        both.AddPlot(drops);
        AddBars(errors, report, layer => 100 * layer.Error);
        AddBars(drops, report, layer => layer.Drop);
        errors.Title("Relative output error, layer alone");
        errors.XLabel("%");
        drops.Title($"Drop of {report.MetricName}, layer alone ternary");
        drops.XLabel($"{report.MetricName}, float: {report.FloatMetric:G4}, all ternary: {report.AllTernaryMetric:G4}");
        VerticalLine bound = drops.Add.VerticalLine(report.MaxDrop, color: Colors.Gray, pattern: LinePattern.Dashed);
        bound.LegendText = "bound";
        drops.Legend.ManualItems.Add(new LegendItem { LabelText = "ternary", FillColor = Ternary });
        drops.Legend.ManualItems.Add(new LegendItem { LabelText = "recommended to keep", FillColor = Kept });
        drops.ShowLegend(Edge.Right);
        both.SavePng(path, Width, Math.Min(Margins + (HeightOfLayer * report.Layers.Count), MaxHeight));
    }

    private static void AddBars(Plot plot, AnalysisReport report, Func<LayerAnalysis, double> value)
    {
        // The first layer is at the top, where a reader begins.
        double[] positions = [.. Enumerable.Range(0, report.Layers.Count).Select(i => (double)(report.Layers.Count - 1 - i))];
        Bar[] bars = [.. report.Layers.Select((layer, i) => new Bar
        {
            Position = positions[i],
            Value = double.IsFinite(value(layer)) ? value(layer) : 0,
            FillColor = layer.Keep ? Kept : Ternary,
            LineWidth = 0,
        })];
        BarPlot plotted = plot.Add.Bars(bars);
        plotted.Horizontal = true;
        plot.Axes.Left.TickGenerator = new NumericManual(positions, [.. report.Layers.Select(layer => ReportTable.Name(layer.Name))]);
        plot.Axes.Left.MajorTickStyle.Length = 0;
        plot.Axes.Bottom.Label.Bold = false;
        double[] values = [.. bars.Select(bar => bar.Value), 0];
        double room = Math.Max(values.Max() - values.Min(), 1e-9) * 0.1;
        plot.Axes.SetLimits(values.Min() - (values.Min() < 0 ? room : 0), values.Max() + room, -0.7, report.Layers.Count - 0.3);
    }
}
