using ScottPlot;
using ScottPlot.Plottables;
using ScottPlot.TickGenerators;

namespace BitLab.Benchmarks;

/// <summary>The picture of the results: how many times as fast as float32, by M.</summary>
internal static class SpeedupPlot
{
    private const int Width = 900;
    private const int Height = 560;

    private static readonly (string Contestant, Color Color, bool IsBitLab)[] Lines =
    [
        (Contestants.Native, Colors.C3, true),
        (Contestants.Managed, Colors.C1, true),
        (Contestants.IntMm, Colors.C0, false),
        (Contestants.Onnx2, Colors.C2, false),
        (Contestants.Onnx4, Colors.C4, false),
        (Contestants.Onnx8, Colors.C5, false),
        (Contestants.Bfloat16, Colors.C7, false),
    ];

    public static void Write(ComparisonRun run, string file)
    {
        using var plot = new Plot();
        int threads = run.ThreadCounts[^1];
        int[] tokens = run.Plan.Tokens;
        double highest = 1, lowest = 1;
        foreach (var (contestant, color, isBitLab) in Lines)
        {
            List<Coordinates> points = [];
            foreach (int m in tokens)
            {
                if (run.Hot.Speedup(contestant, Contestants.Float32, new Case(Plan.PlotShape, m, threads)) is not double ratio)
                    continue;
                points.Add(new(Math.Log2(m), Math.Log10(ratio)));
                (lowest, highest) = (Math.Min(lowest, ratio), Math.Max(highest, ratio));
            }
            if (points.Count == 0)
                continue;
            Scatter line = plot.Add.Scatter(points);
            line.LegendText = contestant;
            line.Color = color;
            line.LinePattern = isBitLab ? LinePattern.Solid : LinePattern.Dashed;
            line.LineWidth = isBitLab ? 3 : 2;
            line.MarkerSize = 7;
        }
        HorizontalLine float32 = plot.Add.HorizontalLine(0, color: Colors.Black, width: 1);
        float32.LegendText = Contestants.Float32;

        plot.Title($"Speed relative to Linear float32: {Plan.PlotShape}, {Case.ThreadsText(threads)}");
        plot.XLabel("M, tokens");
        plot.YLabel("times as fast as Linear float32");
        plot.Axes.Bottom.TickGenerator =
            new NumericManual([.. tokens.Select(m => Math.Log2(m))], [.. tokens.Select(m => $"{m}")]);
        double[] ratios = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200];
        plot.Axes.Left.TickGenerator =
            new NumericManual([.. ratios.Select(Math.Log10)], [.. ratios.Select(ratio => $"{ratio}")]);
        const double Margin = 0.08;
        plot.Axes.SetLimits(
            Math.Log2(tokens[0]) - 0.3, Math.Log2(tokens[^1]) + 0.3,
            Math.Log10(lowest) - Margin, Math.Log10(highest) + Margin);
        plot.ShowLegend(Edge.Right);
        plot.SavePng(file, Width, Height);
    }
}
