using System.CommandLine;
using System.Text;
using BitLab.Inference;

namespace BitLab.Cli.Commands;

/// <summary>bitlab chat --model M</summary>
internal static class ChatCommand
{
    public static Command Create(Terminal terminal)
    {
        Option<string> model = ModelArgument.Option();
        Option<string?> system = new("--system") { Description = "What the model is told first." };
        var sampling = new SamplingOptions();
        var command = new Command("chat", "Talks with a model, line by line; an empty line or the end of input ends it.") { model, system };
        sampling.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            GenerationOptions options = sampling.Of(parsed);
            using TextGenerator generator = TextGenerator.Load(parsed.GetValue(model)!, new TextGeneratorOptions { MaxSequences = 1 });
            var conversation = new Conversation(generator);
            if (parsed.GetValue(system) is string told)
                conversation.Turns.Add(new ChatTurn("system", told));
            while (true)
            {
                await terminal.Out.WriteAsync("> ");
                await terminal.Out.FlushAsync(cancellation);
                if (await terminal.In.ReadLineAsync(cancellation) is not { Length: > 0 } line)
                    return;
                conversation.Turns.Add(new ChatTurn("user", line));
                var answer = new StringBuilder();
                await foreach (GeneratedText piece in conversation.Answer(options, cancellation))
                {
                    answer.Append(piece.Text);
                    await terminal.Out.WriteAsync(piece.Text);
                    await terminal.Out.FlushAsync(cancellation);
                }
                await terminal.Out.WriteLineAsync();
                conversation.Turns.Add(new ChatTurn("assistant", answer.ToString()));
            }
        });
        return command;
    }
}
