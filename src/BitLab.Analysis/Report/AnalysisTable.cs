using System.Globalization;
using Spectre.Console;

namespace BitLab.Analysis;

/// <summary>A report as a table.</summary>
internal static class AnalysisTable
{
    public static Table Of(AnalysisReport report)
    {
        Table table = ReportTable.New(
            "layer", "error %", "zeros %", "scale", "bytes", "deployed", report.MetricName, "drop", "rank", "");
        foreach (LayerAnalysis layer in report.Layers)
        {
            ReportTable.AddRow(
                table, ReportTable.Name(layer.Name), ReportTable.Percent(layer.Error), ReportTable.Percent(layer.Sparsity),
                ReportTable.Scale(layer.Scale), ReportTable.Count(layer.BytesBefore), ReportTable.Count(layer.BytesAfter),
                ReportTable.Metric(layer.Metric), ReportTable.Metric(layer.Drop), layer.Rank.ToString(CultureInfo.InvariantCulture),
                layer.Keep ? "keep" : layer.Calls == 0 ? "not called" : "");
        }
        table.AddEmptyRow();
        AddSum("all float", report.FloatMetric, _ => false);
        AddSum("all ternary", report.AllTernaryMetric, _ => true);
        AddSum("recommended", report.RecommendedMetric, layer => !layer.Keep);
        return table;

        void AddSum(string name, double metric, Func<LayerAnalysis, bool> isTernary) => ReportTable.AddRow(
            table, name, "", "", "",
            ReportTable.Count(report.Layers.Sum(layer => layer.BytesBefore)),
            ReportTable.Count(report.Layers.Sum(layer => isTernary(layer) ? layer.BytesAfter : layer.BytesBefore)),
            ReportTable.Metric(metric), ReportTable.Metric(Drops.Of(report.FloatMetric, metric, report.HigherIsBetter)), "", "");
    }
}
