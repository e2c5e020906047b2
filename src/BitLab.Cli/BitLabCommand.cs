using System.CommandLine;
using System.CommandLine.Parsing;
using BitLab.Cli.Commands;
using BitLab.Core;

namespace BitLab.Cli;

/// <summary>The command line: reads it, runs the command, turns errors into a line and an exit code.</summary>
internal static class BitLabCommand
{
    public static async Task<int> RunAsync(IReadOnlyList<string> arguments, Terminal terminal, CancellationToken cancellation)
    {
        var root = new RootCommand("Looks into, converts, runs, measures and serves ternary language models.")
        {
            InfoCommand.Create(terminal),
            ConvertCommand.Create(terminal),
            QuantizeCommand.Create(terminal),
            RandomCommand.Create(terminal),
            GenerateCommand.Create(terminal),
            ChatCommand.Create(terminal),
            BenchCommand.Create(terminal),
            ServeCommand.Create(terminal),
        };
        ParseResult parsed = root.Parse(arguments);
        if (parsed.Action is System.CommandLine.Invocation.ParseErrorAction)
        {
            foreach (ParseError error in parsed.Errors)
                await terminal.Error.WriteLineAsync($"bitlab: {error.Message}");
            await terminal.Error.WriteLineAsync("bitlab: 'bitlab --help' and 'bitlab COMMAND --help' say what there is.");
            return ExitCode.Usage;
        }
        try
        {
            return await parsed.InvokeAsync(
                new InvocationConfiguration { Output = terminal.Out, Error = terminal.Error, EnableDefaultExceptionHandler = false },
                cancellation);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            return ExitCode.Cancelled;
        }
        catch (Exception e) when (e is IOException or InvalidDataException or BitLabException or UnauthorizedAccessException or NotSupportedException)
        {
            await terminal.Error.WriteLineAsync($"bitlab: {e.Message}");
            return ExitCode.BadInput;
        }
        catch (ArgumentException e)
        {
            await terminal.Error.WriteLineAsync($"bitlab: {e.Message}");
            return ExitCode.Usage;
        }
    }
}
