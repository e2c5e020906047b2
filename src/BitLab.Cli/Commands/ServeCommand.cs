using System.CommandLine;
using BitLab.Cli.Serving;
using BitLab.Inference;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Hosting;

namespace BitLab.Cli.Commands;

/// <summary>bitlab serve --model M</summary>
internal static class ServeCommand
{
    public static Command Create(Terminal terminal)
    {
        Option<string> model = ModelArgument.Option();
        Option<string> host = new("--host") { Description = "The address to listen on. There is no password: think before you open it to others.", DefaultValueFactory = _ => "127.0.0.1" };
        Option<int> port = new("--port") { Description = "The port; 0: any that is free.", DefaultValueFactory = _ => 8080 };
        Option<int> parallel = new("--parallel") { Description = "Texts in work at the same time.", DefaultValueFactory = _ => 8 };
        Option<int> queue = new("--queue") { Description = "Requests that may wait; more are refused with 429.", DefaultValueFactory = _ => 64 };
        Option<int?> context = new("--context") { Description = "The most tokens of a text, prompt included; absent: the model's." };
        Option<long> body = new("--max-request-bytes") { Description = "Longer requests are refused with 413.", DefaultValueFactory = _ => 1 << 20 };
        Option<string?> name = new("--name") { Description = "What the model is called; absent: the file's name." };
        var command = new Command("serve", "Serves a model to clients of OpenAI's API: /v1/chat/completions, /v1/completions, /v1/models, /health, /metrics.")
        {
            model, host, port, parallel, queue, context, body, name,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            string path = parsed.GetValue(model)!;
            using TextGenerator generator = TextGenerator.Load(
                path, new TextGeneratorOptions { MaxSequences = parsed.GetValue(parallel), ContextTokens = parsed.GetValue(context) });
            var options = new ServerOptions
            {
                Host = parsed.GetValue(host)!,
                Port = parsed.GetValue(port),
                MaxWaiting = parsed.GetValue(queue),
                MaxRequestBytes = parsed.GetValue(body),
                ModelName = parsed.GetValue(name) ?? Path.GetFileNameWithoutExtension(Path.GetFullPath(path).TrimEnd(Path.DirectorySeparatorChar)),
            };
            await using WebApplication server = ModelServer.Create(generator, options);
            await server.StartAsync(cancellation);
            await terminal.Out.WriteLineAsync($"Serving {options.ModelName} at {server.Urls.First()}/v1");
            await terminal.Out.FlushAsync(cancellation);
            await server.WaitForShutdownAsync(cancellation);
        });
        return command;
    }
}
