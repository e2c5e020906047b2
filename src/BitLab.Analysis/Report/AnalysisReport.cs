using System.Text.Json.Serialization;
using BitLab.Core;
using BitLab.Layers;
using Spectre.Console;

namespace BitLab.Analysis;

/// <summary>What making a model ternary does, layer by layer, and which layers to leave as they are.</summary>
/// <remarks>
/// <para><b>The rule of the recommendation.</b> Begin with every layer ternary. While the metric is more than
/// <see cref="MaxDrop"/> worse than the float model's, keep one layer more in floats, the most sensitive first
/// (<see cref="LayerAnalysis.Rank"/>). Then try to make the kept ones ternary again, the least sensitive first, and leave it
/// so where the metric stays within the bound. The model is evaluated at each step, so <see cref="RecommendedMetric"/> is
/// measured, not estimated.</para>
/// </remarks>
public sealed record AnalysisReport
{
    /// <summary>What the metric is called.</summary>
    public required string MetricName { get; init; }

    /// <summary>As of an accuracy; false: as of a loss.</summary>
    public required bool HigherIsBetter { get; init; }

    /// <summary>The float model's metric.</summary>
    public required double FloatMetric { get; init; }

    /// <summary>With all layers ternary.</summary>
    public required double AllTernaryMetric { get; init; }

    /// <summary>With the recommended ones ternary.</summary>
    public required double RecommendedMetric { get; init; }

    /// <summary>How much worse than the float model's the recommended conversion's metric could be.</summary>
    public required double MaxDrop { get; init; }

    /// <summary>How the ternary layers quantize.</summary>
    public required BitQuantConfig Config { get; init; }

    /// <summary>Whether the ternary layers normalize their input first.</summary>
    public required bool SubLN { get; init; }

    /// <summary>Whether convolutions were looked at too.</summary>
    public required bool Convolutions { get; init; }

    /// <summary>The layers, in the order in which the model registers them.</summary>
    public required IReadOnlyList<LayerAnalysis> Layers { get; init; }

    /// <summary>Paths of the layers that were not looked at, because the options leave them out.</summary>
    public required IReadOnlyList<string> LeftOut { get; init; }

    /// <summary>The layers to leave as they are, most sensitive first.</summary>
    [JsonIgnore]
    public IEnumerable<LayerAnalysis> Kept => Layers.Where(layer => layer.Keep).OrderBy(layer => layer.Rank);

    /// <summary>The recommended conversion: the one whose metric is <see cref="RecommendedMetric"/>.</summary>
    [JsonIgnore]
    public ConversionOptions RecommendedOptions => new()
    {
        Config = Config,
        SubLN = SubLN,
        Convolutions = Convolutions,
        Skip = [.. LeftOut, .. Kept.Select(layer => layer.Name).Where(name => name.Length > 0)],
        // A model that is a Linear itself has no path; it is its last layer.
        KeepLast = Kept.Any(layer => layer.Name.Length == 0),
    };

    /// <summary>Reads what <see cref="ToJson"/> writes.</summary>
    /// <param name="json">A JSON object.</param>
    /// <returns>The report.</returns>
    /// <exception cref="BitLabException">The text is no JSON object or lacks something.</exception>
    public static AnalysisReport FromJson(string json) => ReportJson.Read(json, ReportJson.Default.AnalysisReport);

    /// <summary>Writes the report as a JSON object.</summary>
    /// <returns>Indented text.</returns>
    public string ToJson() => ReportJson.Write(this, ReportJson.Default.AnalysisReport);

    /// <summary>The report as a table for the console: <c>AnsiConsole.Write(report.ToTable())</c>.</summary>
    /// <returns>A line for each layer.</returns>
    public Table ToTable() => AnalysisTable.Of(this);

    /// <summary>Draws each layer's error and drop as bars, those to keep in another color.</summary>
    /// <param name="path">A .png file, which is replaced.</param>
    public void SavePlot(string path) => AnalysisPlot.Save(this, path);
}
