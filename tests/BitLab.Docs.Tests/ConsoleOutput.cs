using Spectre.Console;

namespace BitLab.Docs.Tests;

internal static class ConsoleOutput
{
    /// <summary>What an action prints.</summary>
    public static string Of(Action action)
    {
        TextWriter before = Console.Out;
        IAnsiConsole ansiBefore = AnsiConsole.Console;
        using var writer = new StringWriter();
        Console.SetOut(writer);
        // Spectre.Console holds on to the writer that was there at its first use.
        AnsiConsole.Console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(writer) });
        try
        {
            action();
        }
        finally
        {
            Console.SetOut(before);
            AnsiConsole.Console = ansiBefore;
        }
        return writer.ToString();
    }
}
