using System.Text.Json;
using BitLab.Inference;

namespace BitLab.Cli.Serving;

/// <summary>What a request asks for.</summary>
internal static class RequestReader
{
    /// <summary>How to generate. Where the request does not say: temperature 1, as OpenAI's API has it.</summary>
    /// <exception cref="ArgumentException">A value is out of range, or of another kind than it can be.</exception>
    public static GenerationOptions Options(CompletionRequest request)
    {
        if (request.N is not (null or 1))
            throw new ArgumentException($"n is {request.N}; this server gives one choice.");
        var options = new GenerationOptions();
        return options with
        {
            MaxTokens = request.MaxCompletionTokens ?? request.MaxTokens ?? options.MaxTokens,
            Temperature = request.Temperature ?? 1,
            TopP = request.TopP ?? options.TopP,
            TopK = request.TopK ?? options.TopK,
            MinP = request.MinP ?? options.MinP,
            RepetitionPenalty = request.RepetitionPenalty ?? options.RepetitionPenalty,
            Seed = request.Seed,
            StopStrings = request.Stop is JsonElement stop ? Texts(stop, "stop") : [],
        };
    }

    /// <summary>The tokens of a completion's prompt: a text, tokens, or a list of one text.</summary>
    public static IReadOnlyList<int> Prompt(CompletionRequest request, BitNetTokenizer tokenizer)
    {
        if (request.Prompt is not JsonElement prompt || prompt.ValueKind == JsonValueKind.Null)
            throw new ArgumentException("There is no prompt.");
        if (prompt.ValueKind == JsonValueKind.Array && prompt.EnumerateArray().All(item => item.ValueKind == JsonValueKind.Number))
            return [.. prompt.EnumerateArray().Select(token => token.TryGetInt32(out int number) ? number : throw new ArgumentException("A token of the prompt is no whole number."))];
        IReadOnlyList<string> texts = Texts(prompt, "prompt");
        return texts.Count == 1 ? tokenizer.Encode(texts[0]) : throw new ArgumentException($"There are {texts.Count} prompts; this server takes one.");
    }

    /// <summary>What was said.</summary>
    public static IReadOnlyList<ChatTurn> Turns(CompletionRequest request)
    {
        if (request.Messages is not { Count: > 0 } messages)
            throw new ArgumentException("There are no messages.");
        return [.. messages.Select(message => new ChatTurn(Role(message.Role), Content(message.Content)))];
    }

    private static string Role(string? role) => role switch
    {
        "system" or "user" or "assistant" => role,
        "developer" => "system",
        _ => throw new ArgumentException($"A message has the role '{role}'; it can be system, developer, user or assistant."),
    };

    private static string Content(JsonElement? content) => content switch
    {
        { ValueKind: JsonValueKind.String } text => text.GetString()!,
        { ValueKind: JsonValueKind.Array } parts => string.Concat(parts.EnumerateArray().Select(Part)),
        _ => throw new ArgumentException("A message has no content."),
    };

    private static string Part(JsonElement part) =>
        part.ValueKind == JsonValueKind.Object && part.TryGetProperty("type", out JsonElement type) && type.ValueKind == JsonValueKind.String
        && type.GetString() == "text" && part.TryGetProperty("text", out JsonElement text) && text.ValueKind == JsonValueKind.String
            ? text.GetString()!
            : throw new ArgumentException("A message has a part that is no text.");

    private static IReadOnlyList<string> Texts(JsonElement value, string name) => value.ValueKind switch
    {
        JsonValueKind.Null => [],
        JsonValueKind.String => [value.GetString()!],
        JsonValueKind.Array when value.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String) =>
            [.. value.EnumerateArray().Select(item => item.GetString()!)],
        _ => throw new ArgumentException($"{name} is neither a text nor a list of texts."),
    };
}
