using System.Text.Json;
using System.Text.Json.Serialization;

namespace Accuracy.Results;

/// <summary>The results so far, a line of JSON each, so that a run that was interrupted goes on where it was and two may go on
/// at the same time. Beside it lie the weights of teachers.</summary>
internal sealed class ResultsFile
{
    private static readonly JsonSerializerOptions Options = new() { Converters = { new JsonStringEnumConverter() } };
    private readonly string folder;
    private readonly string path;

    public ResultsFile(string folder)
    {
        Directory.CreateDirectory(folder);
        this.folder = folder;
        path = Path.Combine(folder, "results.jsonl");
    }

    public IReadOnlyList<Result> Read() => File.Exists(path)
        ? [.. File.ReadLines(path).Select(line => JsonSerializer.Deserialize<Result>(line, Options)!)]
        : [];

    public Result? Find(Cell cell) => Read().FirstOrDefault(result => result.Cell == cell);

    public void Append(Result result) => File.AppendAllText(path, JsonSerializer.Serialize(result, Options) + "\n");

    /// <summary>Where the weights of a run are kept.</summary>
    public string WeightsOf(Cell cell) => Path.Combine(
        folder,
        FormattableString.Invariant($"{cell.Task}-{cell.Model}-{cell.Seed}-{cell.Purpose}-{cell.Rate}-{cell.Steps}.dat"));
}
