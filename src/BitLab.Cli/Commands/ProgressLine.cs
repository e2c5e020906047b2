using Spectre.Console;

namespace BitLab.Cli.Commands;

/// <summary>A progress bar, where somebody sees it.</summary>
internal static class ProgressLine
{
    /// <summary>Does the work. It tells what it is at: a name, how many were before it, how many there are.</summary>
    public static void Show(IAnsiConsole console, string title, Action<Action<string, int, int>> work)
    {
        if (!console.Profile.Capabilities.Interactive)
        {
            work((_, _, _) => { });
            return;
        }
        console.Progress().AutoClear(true).Start(progress =>
        {
            ProgressTask bar = progress.AddTask(title);
            work((name, done, count) =>
            {
                (bar.MaxValue, bar.Value) = (count, done);
                bar.Description = Markup.Escape($"{title} {name}");
            });
        });
    }
}
