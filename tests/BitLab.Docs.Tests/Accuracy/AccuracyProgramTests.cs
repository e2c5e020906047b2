using Accuracy;
using Accuracy.Data;
using Accuracy.Results;
using Accuracy.Tasks;

namespace BitLab.Docs.Tests.Accuracy;

public sealed class AccuracyProgramTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("bitlab-accuracy-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void The_quick_run_learns_the_digits_and_goes_on_where_it_was()
    {
        using var first = new StringWriter();
        Assert.Equal(0, AccuracyProgram.Run(AccuracyOptions.Parse(["--quick", "--results", folder]), first));
        Result[] results = [.. new ResultsFile(folder).Read().Where(result => result.Cell.Purpose == Purpose.Final)];
        Assert.Equal(8, results.Length);
        // 10 classes; a network that learned nothing has 10 %.
        Assert.All(results, result => Assert.InRange(result.Score, 0.85, 1));
        Assert.Contains("| Digits 8 × 8, MLP 64-256-256-10 | 2 |", first.ToString());

        // The last run is forgotten: it alone is done again, and comes out as before.
        string path = Path.Combine(folder, "results.jsonl");
        string[] lines = File.ReadAllLines(path);
        File.WriteAllLines(path, lines[..^1]);
        using var second = new StringWriter();
        Assert.Equal(0, AccuracyProgram.Run(AccuracyOptions.Parse(["--quick", "--results", folder]), second));
        Assert.Equal(lines.Length, File.ReadAllLines(path).Length);
        Assert.Equal(results[^1].Score, new ResultsFile(folder).Read()[^1].Score);
        Assert.Single(second.ToString().Split('\n'), line => line.StartsWith("quick, ", StringComparison.Ordinal));
    }

    [Fact]
    public void Data_that_is_missing_is_named_with_the_command_that_fetches_it()
    {
        var options = AccuracyOptions.Parse(["fashion-mlp", "--data", folder, "--results", folder]);
        var error = Assert.Throws<FileNotFoundException>(() => AccuracyProgram.Run(options, TextWriter.Null));
        Assert.Contains("apt-get install -y --no-install-recommends dataset-fashion-mnist", error.Message);
    }

    [Fact]
    public void What_the_command_line_does_not_know_is_refused()
    {
        Assert.Contains("--fast", Assert.Throws<ArgumentException>(() => AccuracyOptions.Parse(["--fast"])).Message);
        Assert.Contains("--data", Assert.Throws<ArgumentException>(() => AccuracyOptions.Parse(["--data"])).Message);
        Assert.Throws<ArgumentException>(() => AccuracyOptions.Parse(["--threads", "0"]));
        var error = Assert.Throws<ArgumentException>(
            () => AccuracyProgram.Run(AccuracyOptions.Parse(["cifar", "--results", folder]), TextWriter.Null));
        Assert.Contains("digits, letter", error.Message);
    }

    [Fact]
    public void Parts_of_a_split_do_not_meet()
    {
        var task = (Classification)AllTasks.Quick;
        long[] test = task.Split(1797, seed: 3, Purpose.Final).Measured;
        (long[] train, long[] validation) = task.Split(1797, seed: 3, Purpose.Search);
        Assert.Equal(1797, test.Concat(train).Concat(validation).Distinct().Count());
        Assert.Equal((360, 240), (test.Length, validation.Length));
        Assert.NotEqual(test, task.Split(1797, seed: 4, Purpose.Final).Measured);
    }

    [Fact]
    public void Novels_are_split_within_each()
    {
        string novel = string.Concat(Enumerable.Repeat("0123456789", 20));
        Novels novels = Novels.Split([novel, novel]);
        Assert.Equal("0123456789?", novels.Characters);
        Assert.Equal([2 * 190, 2 * 5, 2 * 5], new[] { novels.Train, novels.Validation, novels.Test }.Select(part => part.Sum(text => text.Length)));
        Assert.Equal("56789", string.Concat(novels.Test[1].Select(c => novels.Characters[c])));
    }
}
