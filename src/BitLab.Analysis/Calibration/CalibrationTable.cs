using Spectre.Console;

namespace BitLab.Analysis;

/// <summary>A report as a table.</summary>
internal static class CalibrationTable
{
    public static Table Of(CalibrationReport report)
    {
        Table table = ReportTable.New("layer", "tokens", "error % before", "after", "zeros %", "scale");
        foreach (CalibratedLayer layer in report.Layers)
        {
            ReportTable.AddRow(
                table, ReportTable.Name(layer.Name), ReportTable.Count(layer.Tokens), ReportTable.Percent(layer.ErrorBefore),
                ReportTable.Percent(layer.ErrorAfter), ReportTable.Percent(layer.Sparsity), ReportTable.Scale(layer.Scale));
        }
        foreach (UncalibratedLayer layer in report.NotCalibrated)
            ReportTable.AddRow(table, $"{ReportTable.Name(layer.Name)}: {layer.Why}", "", "", "", "", "");
        return table;
    }
}
