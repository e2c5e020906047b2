using Spectre.Console;

namespace BitLab.Cli;

/// <summary>Where a command reads and writes.</summary>
/// <param name="Console">For tables and progress.</param>
/// <param name="In">What the user types.</param>
/// <param name="Out">For text as it comes.</param>
/// <param name="Error">For errors, a line each.</param>
internal sealed record Terminal(IAnsiConsole Console, TextReader In, TextWriter Out, TextWriter Error);
