using System.Globalization;
using Accuracy.Data;
using Accuracy.Results;
using Accuracy.Tasks;
using BitLab.Core;
using TorchSharp;

namespace Accuracy;

/// <summary>What the program does.</summary>
internal static class AccuracyProgram
{
    /// <summary>Trains what is missing, and writes the page, or, in quick mode, prints it.</summary>
    /// <param name="options">The command line.</param>
    /// <param name="output">Where to say what happens.</param>
    /// <returns>The exit code.</returns>
    /// <exception cref="ArgumentException">A task is unknown.</exception>
    /// <exception cref="FileNotFoundException">Data is missing.</exception>
    public static int Run(AccuracyOptions options, TextWriter output)
    {
        torch.set_num_threads(options.Threads);
        BitLabRuntime.NumThreads = options.Threads;
        var folder = new DataFolder(options.Data);
        IReadOnlyList<AccuracyTask> all = options.IsQuick ? [AllTasks.Quick] : AllTasks.In(folder);
        if (options.Tasks.FirstOrDefault(name => all.All(task => task.Name != name)) is string unknown)
            throw new ArgumentException($"'{unknown}' is no task; there are {string.Join(", ", all.Select(task => task.Name))}.");

        var results = new ResultsFile(options.Results);
        var run = new AccuracyRun(results, result => output.WriteLine(Line(result)));
        IEnumerable<AccuracyTask> asked = options.IsReport ? []
            : options.Tasks.Count == 0 ? all
            : all.Where(task => options.Tasks.Contains(task.Name));
        foreach (AccuracyTask task in asked)
            run.Do(task, options.Seeds);

        IReadOnlyList<Result> known = results.Read();
        string tables = AccuracyTables.Text(all.Select(task => new TaskResults(task, known)), Baselines(all, known));
        if (options.IsQuick || AccuracyPage.Find() is not string page)
        {
            output.WriteLine(tables);
            return 0;
        }
        File.WriteAllText(page, AccuracyPage.With(File.ReadAllText(page), tables));
        output.WriteLine($"Written: {page}");
        return 0;
    }

    private static string Line(Result result) => string.Create(
        CultureInfo.InvariantCulture,
        $"{result.Cell.Task}, {result.Cell.Model}, seed {result.Cell.Seed}, {result.Cell.Purpose}, rate {result.Cell.Rate}: "
        + $"{result.Score:0.0000} in {result.Seconds:0} s");

    private static Dictionary<string, string> Baselines(IEnumerable<AccuracyTask> tasks, IReadOnlyList<Result> known)
    {
        var baselines = new Dictionary<string, string>();
        foreach (LanguageModel task in tasks.OfType<LanguageModel>())
        {
            if (known.All(result => result.Cell.Task != task.Name))
                continue;
            string[] bits = [.. new[] { 4, 5 }.Select(order => Bits(task.Novels, order))];
            baselines[task.Name] = "N-grams (Witten-Bell), counted on the same training texts, need "
                + $"{string.Join(" and ", bits)} bits a character of the same test texts.";
        }
        return baselines;
    }

    private static string Bits(Novels novels, int order) => string.Create(
        CultureInfo.InvariantCulture,
        $"{new NGram(order, novels.Characters.Length, novels.Train).BitsPerCharacter(novels.Test):0.000} (from {order} characters)");
}
