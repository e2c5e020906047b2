using System.CommandLine;
using BitLab.Inference;

namespace BitLab.Cli.Commands;

/// <summary>bitlab generate --model M --prompt TEXT</summary>
internal static class GenerateCommand
{
    public static Command Create(Terminal terminal)
    {
        Option<string> model = ModelArgument.Option();
        Option<string?> prompt = new("--prompt", "-p") { Description = "The text to continue; absent: what standard input holds." };
        var sampling = new SamplingOptions();
        var command = new Command("generate", "Continues a text.") { model, prompt };
        sampling.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            GenerationOptions options = sampling.Of(parsed);
            string text = parsed.GetValue(prompt) ?? await terminal.In.ReadToEndAsync(cancellation);
            using TextGenerator generator = TextGenerator.Load(parsed.GetValue(model)!, new TextGeneratorOptions { MaxSequences = 1 });
            await terminal.Out.WriteAsync(text);
            await foreach (GeneratedText piece in generator.StreamAsync(text, options, cancellation))
            {
                await terminal.Out.WriteAsync(piece.Text);
                await terminal.Out.FlushAsync(cancellation);
            }
            await terminal.Out.WriteLineAsync();
        });
        return command;
    }
}
