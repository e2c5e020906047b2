using BitLab.Cli;
using Spectre.Console;

using var interrupted = new CancellationTokenSource();
Console.CancelKeyPress += (_, pressed) =>
{
    // The second time, the process ends as it would have.
    pressed.Cancel = !interrupted.IsCancellationRequested;
    interrupted.Cancel();
};
return await BitLabCommand.RunAsync(args, new Terminal(AnsiConsole.Console, Console.In, Console.Out, Console.Error), interrupted.Token);
