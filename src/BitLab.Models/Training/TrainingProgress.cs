using Spectre.Console;

namespace BitLab.Models;

/// <summary>The progress bar of a training.</summary>
internal static class TrainingProgress
{
    /// <summary>Does the work, below a bar where somebody can see it. The work calls what it is given, with the steps that are done
    /// and some words.</summary>
    public static void Show(bool isWanted, long steps, Action<Action<long, string>> work)
    {
        if (!isWanted || Console.IsOutputRedirected || !AnsiConsole.Profile.Capabilities.Interactive)
        {
            work((_, _) => { });
            return;
        }
        AnsiConsole.Progress()
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(progress =>
            {
                ProgressTask bar = progress.AddTask("Training", maxValue: steps);
                work((done, words) =>
                {
                    bar.Value = done;
                    bar.Description = Markup.Escape(words);
                });
            });
    }
}
