using System.Text.Json.Serialization;
using BitLab.Core;
using BitLab.Layers;
using Spectre.Console;

namespace BitLab.Analysis;

/// <summary>What a calibration did, layer by layer.</summary>
public sealed record CalibrationReport
{
    /// <summary>What became of all layers of the model; null in a report that was read from JSON. Undoing it puts the float layers
    /// back, with the calibrated weights.</summary>
    [JsonIgnore]
    public ConversionReport? Conversion { get; init; }

    /// <summary>How the ternary layers quantize.</summary>
    public required BitQuantConfig Config { get; init; }

    /// <summary>The layers that were calibrated, in the order in which the model registers them.</summary>
    public required IReadOnlyList<CalibratedLayer> Layers { get; init; }

    /// <summary>The layers that were converted as they were.</summary>
    public required IReadOnlyList<UncalibratedLayer> NotCalibrated { get; init; }

    /// <summary>Reads what <see cref="ToJson"/> writes.</summary>
    /// <param name="json">A JSON object.</param>
    /// <returns>The report, without its <see cref="Conversion"/>.</returns>
    /// <exception cref="BitLabException">The text is no JSON object or lacks something.</exception>
    public static CalibrationReport FromJson(string json) => ReportJson.Read(json, ReportJson.Default.CalibrationReport);

    /// <summary>Writes the report as a JSON object, without its <see cref="Conversion"/>.</summary>
    /// <returns>Indented text.</returns>
    public string ToJson() => ReportJson.Write(this, ReportJson.Default.CalibrationReport);

    /// <summary>The report as a table for the console: <c>AnsiConsole.Write(report.ToTable())</c>.</summary>
    /// <returns>A line for each layer.</returns>
    public Table ToTable() => CalibrationTable.Of(this);
}
