using System.Globalization;
using System.Text;
using Accuracy.Networks;

namespace Accuracy.Results;

/// <summary>The tables of the page.</summary>
internal static class AccuracyTables
{
    private const string Absent = "–";
    private static readonly ModelKind[] AllModels = Enum.GetValues<ModelKind>();
    private static readonly ModelKind[] Ternary = [ModelKind.Ternary, ModelKind.Distilled];

    /// <summary>Writes them as Markdown.</summary>
    /// <param name="all">What is known; tasks of which no seed is complete are left out.</param>
    /// <param name="baselines">For tasks by their names, what a simple model reaches.</param>
    public static string Text(IEnumerable<TaskResults> all, IReadOnlyDictionary<string, string> baselines)
    {
        TaskResults[] tasks = [.. all.Where(task => task.Seeds.Length > 0)];
        var text = new StringBuilder();
        text.Append("### Scores\n\nAccuracy in percent, for the novels bits a character (less is better); mean ± standard "
            + "deviation of the seeds.\n\n");
        Row(text, "data, network", "seeds", "float", "float, normalized", "ternary", "converted and distilled");
        Row(text, "---", "---:", "---:", "---:", "---:", "---:");
        foreach (TaskResults task in tasks)
            Row(text, [task.Task.Title, $"{task.Seeds.Length}", .. AllModels.Select(model => Score(task, model))]);
        foreach (TaskResults task in tasks)
        {
            if (baselines.TryGetValue(task.Task.Name, out string? baseline))
                text.Append($"\n{baseline}\n");
        }

        text.Append("\n### Gaps\n\nBehind the better of the two float networks, paired seed by seed: points of accuracy, for the "
            + "novels percent of its bits. Negative: ternary is ahead.\n\n");
        Row(text, "data, network", "better float", "ternary", "converted and distilled", "asked", "met by");
        Row(text, "---", "---", "---:", "---:", "---:", "---");
        foreach (TaskResults task in tasks)
        {
            double? asked = task.Task.Goal * 100;
            Row(
                text, task.Task.Title, task.BetterFloat == ModelKind.Float ? "plain" : "normalized",
                task.Gap(ModelKind.Ternary).Text("+0.00;-0.00"), task.Gap(ModelKind.Distilled).Text("+0.00;-0.00"),
                asked is null ? Absent : $"≤ {Asked(asked.Value)}{(task.Task.IsBits ? " %" : "")}",
                asked is null ? Absent : MetBy(task, asked.Value));
        }

        text.Append("\n### What was chosen, and what it took\n\nLearning rates by the validation part; minutes of one thread, "
            + "those for the choice included.\n\n");
        Row(text, "data, network", "steps", "float", "float, normalized", "ternary", "converted and distilled", "minutes");
        Row(text, "---", "---:", "---:", "---:", "---:", "---:", "---:");
        foreach (TaskResults task in tasks)
        {
            Row(
                text,
                [
                    task.Task.Title, $"{task.Task.Steps}", .. AllModels.Select(model => Rates(task, model)),
                    (task.TotalSeconds / 60).ToString("0", CultureInfo.InvariantCulture),
                ]);
        }
        return text.ToString();
    }

    private static string Score(TaskResults task, ModelKind model) => !task.Task.Models.Contains(model) ? Absent
        : task.Task.IsBits ? task.Scores(model).Text("0.000")
        : (task.Scores(model) * 100).Text("0.00");

    private static string Rates(TaskResults task, ModelKind model) => !task.Task.Models.Contains(model)
        ? Absent
        : string.Join(", ", task.ChosenRates(model).Select(rate => rate.ToString(CultureInfo.InvariantCulture)));

    private static string Asked(double points) => points.ToString("0.0", CultureInfo.InvariantCulture);

    private static string MetBy(TaskResults task, double asked)
    {
        ModelKind[] met = [.. Ternary.Where(model => task.Gap(model).Mean <= asked)];
        return met.Length switch { 0 => "neither", 1 => met[0] == ModelKind.Ternary ? "ternary" : "distilled", _ => "both" };
    }

    private static void Row(StringBuilder text, params string[] cells) => text.Append($"| {string.Join(" | ", cells)} |\n");
}
