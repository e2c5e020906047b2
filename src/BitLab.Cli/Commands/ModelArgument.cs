using System.CommandLine;

namespace BitLab.Cli.Commands;

/// <summary>The model that a command works with.</summary>
internal static class ModelArgument
{
    public static Option<string> Option() => new("--model", "-m")
    {
        Description = "The model: a folder with config.json, or a GGUF file.",
        Required = true,
    };

    public static Argument<string> Argument(string description) => new("source") { Description = description };
}
