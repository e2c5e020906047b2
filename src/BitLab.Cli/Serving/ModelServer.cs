using System.Net;
using System.Text.Json;
using BitLab.Inference;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace BitLab.Cli.Serving;

/// <summary>A model behind OpenAI's API. The generator shares each step among all texts in work; here is what comes before it: a
/// bounded number of requests, limits, errors.</summary>
internal sealed class ModelServer
{
    private readonly TextGenerator generator;
    private readonly ServerOptions options;
    private readonly ServerCounters counters = new();
    private readonly long started = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
    private readonly Lazy<ChatTemplate> template;
    private int admitted;

    private ModelServer(TextGenerator generator, ServerOptions options)
    {
        (this.generator, this.options) = (generator, options);
        template = new Lazy<ChatTemplate>(() => ChatTemplate.For(generator));
    }

    /// <summary>A server that is not started yet. The generator stays the caller's.</summary>
    public static WebApplication Create(TextGenerator generator, ServerOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(options.MaxWaiting);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxRequestBytes, 1);
        if (!IPAddress.TryParse(options.Host == "localhost" ? "127.0.0.1" : options.Host, out IPAddress? address))
            throw new ArgumentException($"--host is '{options.Host}'; expected an address such as 127.0.0.1 or 0.0.0.0.");
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(address, options.Port);
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = options.MaxRequestBytes;
        });
        WebApplication app = builder.Build();
        var server = new ModelServer(generator, options);
        app.MapPost("/v1/completions", (RequestDelegate)(context => server.Admit(context, server.Complete)));
        app.MapPost("/v1/chat/completions", (RequestDelegate)(context => server.Admit(context, server.Chat)));
        app.MapGet("/v1/models", (RequestDelegate)server.Models);
        app.MapGet("/health", (RequestDelegate)server.Health);
        app.MapGet("/metrics", (RequestDelegate)(context =>
        {
            context.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
            return context.Response.WriteAsync(server.counters.Text(generator.Statistics), context.RequestAborted);
        }));
        return app;
    }

    // Those in work and those that wait are counted together: the generator lets them wait.
    private async Task Admit(HttpContext context, Func<HttpContext, Task> answer)
    {
        int limit = generator.Options.MaxSequences + options.MaxWaiting;
        try
        {
            if (Interlocked.Increment(ref admitted) > limit)
            {
                context.Response.Headers.RetryAfter = "1";
                await Refuse(context, StatusCodes.Status429TooManyRequests, $"{limit} requests are in work or waiting: try again later.", "rate_limit_exceeded");
            }
            else
            {
                await answer(context);
            }
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            counters.CountCancelled();
            return;
        }
        catch (BadHttpRequestException e)
        {
            await Refuse(context, e.StatusCode, e.StatusCode == StatusCodes.Status413PayloadTooLarge
                ? $"The request has more than {options.MaxRequestBytes} bytes."
                : e.Message, null);
        }
        catch (JsonException e)
        {
            await Refuse(context, StatusCodes.Status400BadRequest, $"The request is not the JSON that is expected: {e.Message}", null);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException or InvalidDataException)
        {
            await Refuse(context, StatusCodes.Status400BadRequest, e.Message, null);
        }
        finally
        {
            Interlocked.Decrement(ref admitted);
        }
        counters.Count(context.Request.Path, context.Response.StatusCode);
    }

    private async Task Complete(HttpContext context)
    {
        CompletionRequest request = await Read(context);
        IAsyncEnumerable<GeneratedText> pieces = generator.StreamAsync(
            RequestReader.Prompt(request, generator.Tokenizer), RequestReader.Options(request), context.RequestAborted);
        await new CompletionWriter(context, "cmpl", isChat: false, options.ModelName).Write(pieces, request);
    }

    private async Task Chat(HttpContext context)
    {
        CompletionRequest request = await Read(context);
        IAsyncEnumerable<GeneratedText> pieces = Conversation.Answer(
            generator, template.Value, RequestReader.Turns(request), RequestReader.Options(request), context.RequestAborted);
        await new CompletionWriter(context, "chatcmpl", isChat: true, options.ModelName).Write(pieces, request);
    }

    private static async Task<CompletionRequest> Read(HttpContext context) =>
        await JsonSerializer.DeserializeAsync(context.Request.Body, MessageJson.Default.CompletionRequest, context.RequestAborted)
        ?? throw new ArgumentException("The request is null.");

    private Task Models(HttpContext context) => context.Response.WriteAsJsonAsync(
        new ModelList("list", [new ModelEntry(options.ModelName, "model", started, "bitlab")]), MessageJson.Default.ModelList,
        cancellationToken: context.RequestAborted);

    private Task Health(HttpContext context)
    {
        GeneratorStatistics statistics = generator.Statistics;
        return context.Response.WriteAsJsonAsync(
            new Health("ok", statistics.Active, statistics.Waiting), MessageJson.Default.Health, cancellationToken: context.RequestAborted);
    }

    // Once the answer has begun, its status is sent: then the connection breaks, which clients notice.
    private static Task Refuse(HttpContext context, int status, string message, string? code)
    {
        if (context.Response.HasStarted)
        {
            context.Abort();
            return Task.CompletedTask;
        }
        context.Response.StatusCode = status;
        return context.Response.WriteAsJsonAsync(
            new ErrorResponse(new ErrorDetail(message, "invalid_request_error", code)), MessageJson.Default.ErrorResponse,
            cancellationToken: context.RequestAborted);
    }
}
