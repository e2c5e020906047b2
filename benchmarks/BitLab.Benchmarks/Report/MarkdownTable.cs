using System.Text;

namespace BitLab.Benchmarks;

/// <summary>A table of Markdown. The first columns are text, the others numbers.</summary>
internal sealed class MarkdownTable(int textColumns, params string[] header)
{
    private readonly List<string[]> rows = [];

    public void Add(params string[] cells) => rows.Add(cells);

    public override string ToString()
    {
        var text = new StringBuilder();
        Append(text, header);
        Append(text, [.. header.Select((_, column) => column < textColumns ? "---" : "---:")]);
        foreach (string[] row in rows)
            Append(text, row);
        return text.ToString();
    }

    private static void Append(StringBuilder text, string[] cells) => text.Append($"| {string.Join(" | ", cells)} |\n");
}
