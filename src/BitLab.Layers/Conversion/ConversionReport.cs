using System.Globalization;
using System.Text;

namespace BitLab.Layers;

/// <summary>What a conversion did, layer by layer. <see cref="ToString"/> is a table.</summary>
public sealed class ConversionReport
{
    private readonly Action undo;
    private bool isUndone;

    internal ConversionReport(IReadOnlyList<ConversionRow> rows, IReadOnlyList<string> notes, Action undo)
    {
        Rows = rows;
        Notes = notes;
        this.undo = undo;
    }

    /// <summary>The layers, in the model's order. A layer with several paths has the first.</summary>
    public IReadOnlyList<ConversionRow> Rows { get; }

    /// <summary>What else there is to know, a sentence each.</summary>
    public IReadOnlyList<string> Notes { get; }

    /// <summary>The layers that this conversion made ternary.</summary>
    public IEnumerable<ConversionRow> Converted => Rows.Where(row => row.IsConverted);

    /// <summary>Bytes of all layers' parameters before.</summary>
    public long BytesBefore => Rows.Sum(row => row.BytesBefore);

    /// <summary>Bytes of all layers' parameters once the model is deployed.</summary>
    public long BytesAfter => Rows.Sum(row => row.BytesAfter);

    /// <summary>Puts the <c>Linear</c>s back, with the parameters as they are now. Harmless when repeated.</summary>
    /// <exception cref="InvalidOperationException">A layer was deployed since: its float weights are freed. Nothing is
    /// changed then.</exception>
    public void Undo()
    {
        if (isUndone)
            return;
        undo();
        isUndone = true;
    }

    /// <summary>A table with a line for each layer, the sums, and the notes.</summary>
    /// <returns>Plain text.</returns>
    public override string ToString()
    {
        string[][] lines =
        [
            ["layer", "type", "shape", "bytes", "deployed", "outcome", ""],
            .. Rows.Select(row => new[]
            {
                row.Name.Length == 0 ? "(the model)" : row.Name,
                row.Layer,
                string.Join(" x ", row.Shape),
                Bytes(row.BytesBefore),
                Bytes(row.BytesAfter),
                Word(row.Outcome),
                row.Why,
            }),
            [$"{Converted.Count()} of {Rows.Count}", "", "", Bytes(BytesBefore), Bytes(BytesAfter), "", ""],
        ];
        int[] widths = [.. Enumerable.Range(0, lines[0].Length).Select(column => lines.Max(line => line[column].Length))];
        var table = new StringBuilder();
        foreach (string[] line in lines)
        {
            // Names and words to the left, numbers to the right.
            IEnumerable<string> cells =
                line.Select((cell, column) => column is 3 or 4 ? cell.PadLeft(widths[column]) : cell.PadRight(widths[column]));
            table.AppendLine(string.Join("  ", cells).TrimEnd());
        }
        foreach (string note in Notes)
            table.AppendLine(note);
        return table.ToString();

        static string Bytes(long count) => count.ToString("N0", CultureInfo.InvariantCulture);

        static string Word(ConversionOutcome outcome) => outcome switch
        {
            ConversionOutcome.AlreadyTernary => "ternary before",
            ConversionOutcome.NotConvertible => "not convertible",
            _ => outcome.ToString().ToLowerInvariant(),
        };
    }
}
