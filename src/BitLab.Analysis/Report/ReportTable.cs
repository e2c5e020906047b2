using System.Globalization;
using Spectre.Console;

namespace BitLab.Analysis;

/// <summary>How tables of reports look: names to the left, numbers to the right, narrow enough for 80 columns where names are
/// short.</summary>
internal static class ReportTable
{
    private static readonly CultureInfo Plain = CultureInfo.InvariantCulture;

    public static Table New(string name, params string[] columns)
    {
        Table table = new Table().Border(TableBorder.Horizontal).AddColumn(new TableColumn(name).PadLeft(0).PadRight(0));
        foreach (string column in columns)
            table.AddColumn(new TableColumn(Markup.Escape(column)).RightAligned().PadLeft(0).PadRight(0));
        return table;
    }

    public static void AddRow(Table table, params string[] cells) => table.AddRow([.. cells.Select(cell => new Text(cell))]);

    public static string Name(string path) => path.Length == 0 ? "(the model)" : path;

    public static string Percent(double part) => (100 * part).ToString("F1", Plain);

    public static string Scale(double scale) => scale.ToString("G3", Plain);

    // Losses can be large or small, accuracies are 0 to 1: four digits behind the point say enough of both.
    public static string Metric(double value) => value.ToString("F4", Plain);

    public static string Count(long count) => count.ToString("N0", Plain);
}
