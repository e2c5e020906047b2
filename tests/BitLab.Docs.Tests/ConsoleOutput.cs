namespace BitLab.Docs.Tests;

internal static class ConsoleOutput
{
    /// <summary>What an action prints.</summary>
    public static string Of(Action action)
    {
        TextWriter before = Console.Out;
        using var writer = new StringWriter();
        Console.SetOut(writer);
        try
        {
            action();
        }
        finally
        {
            Console.SetOut(before);
        }
        return writer.ToString();
    }
}
