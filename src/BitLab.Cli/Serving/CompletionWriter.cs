using System.Text;
using System.Text.Json;
using BitLab.Inference;
using Microsoft.AspNetCore.Http;

namespace BitLab.Cli.Serving;

/// <summary>Writes an answer: whole, or as server-sent events.</summary>
internal sealed class CompletionWriter(HttpContext context, string idPrefix, bool isChat, string model)
{
    private readonly string id = $"{idPrefix}-{Guid.NewGuid():N}";
    private readonly long created = DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    public Task Write(IAsyncEnumerable<GeneratedText> pieces, CompletionRequest request) =>
        request.Stream == true ? WriteEvents(pieces, request.StreamOptions?.IncludeUsage == true) : WriteWhole(pieces);

    private async Task WriteWhole(IAsyncEnumerable<GeneratedText> pieces)
    {
        var text = new StringBuilder();
        GeneratedText last = default;
        await foreach (GeneratedText piece in pieces)
        {
            text.Append(piece.Text);
            last = piece;
        }
        var choice = new Choice { FinishReason = Word(last.Finish) };
        choice = isChat ? choice with { Message = new ChatMessage("assistant", text.ToString()) } : choice with { Text = text.ToString() };
        await context.Response.WriteAsJsonAsync(
            Response([choice], isWhole: true, UsageOf(last)), MessageJson.Default.CompletionResponse, cancellationToken: context.RequestAborted);
    }

    private async Task WriteEvents(IAsyncEnumerable<GeneratedText> pieces, bool includesUsage)
    {
        // The first piece comes before the header, so that what cannot be is still an error with a status.
        await using IAsyncEnumerator<GeneratedText> all = pieces.GetAsyncEnumerator(context.RequestAborted);
        bool isThere = await all.MoveNextAsync();
        context.Response.ContentType = "text/event-stream";
        context.Response.Headers.CacheControl = "no-cache";
        if (isChat)
            await WriteEvent(Response([new Choice { Delta = new ChatMessage("assistant", "") }], isWhole: false, null));
        GeneratedText last = default;
        for (; isThere; isThere = await all.MoveNextAsync())
        {
            last = all.Current;
            // Half a character is no text yet.
            if (last.Text.Length == 0 && last.Finish is null)
                continue;
            var choice = new Choice { FinishReason = last.Finish is null ? null : Word(last.Finish) };
            choice = isChat ? choice with { Delta = new ChatMessage(null, last.Text) } : choice with { Text = last.Text };
            await WriteEvent(Response([choice], isWhole: false, null));
        }
        if (includesUsage)
            await WriteEvent(Response([], isWhole: false, UsageOf(last)));
        await context.Response.WriteAsync("data: [DONE]\n\n", context.RequestAborted);
    }

    private async Task WriteEvent(CompletionResponse response)
    {
        await context.Response.WriteAsync($"data: {JsonSerializer.Serialize(response, MessageJson.Default.CompletionResponse)}\n\n", context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
    }

    private CompletionResponse Response(IReadOnlyList<Choice> choices, bool isWhole, Usage? usage) => new(
        id, !isChat ? "text_completion" : isWhole ? "chat.completion" : "chat.completion.chunk", created, model, choices, usage);

    private static Usage UsageOf(GeneratedText last) =>
        new(last.PromptTokens, last.CompletionTokens, last.PromptTokens + last.CompletionTokens);

    private static string Word(FinishReason? reason) => reason == FinishReason.Length ? "length" : "stop";
}
