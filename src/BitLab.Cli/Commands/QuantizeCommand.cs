using System.CommandLine;

namespace BitLab.Cli.Commands;

/// <summary>bitlab quantize SOURCE TARGET</summary>
internal static class QuantizeCommand
{
    public static Command Create(Terminal terminal)
    {
        Argument<string> source = ModelArgument.Argument("A folder with float or master weights.");
        Argument<string> target = ConvertCommand.TargetArgument();
        Option<string> to = ConvertCommand.ToOption(), type = ConvertCommand.TypeOption();
        var command = new Command(
            "quantize", "Makes the linear layers of a float model ternary by absmean. A model that was not trained for it loses what it knows.")
        {
            source, target, to, type,
        };
        command.SetAction((parsed, cancellation) => Task.Run(
            () => ConvertCommand.Convert(
                parsed.GetValue(source)!, parsed.GetValue(target)!, ConvertCommand.FormatOf(parsed.GetValue(to)!, parsed.GetValue(type)),
                quantizes: true, terminal, cancellation),
            cancellation));
        return command;
    }
}
