using System.Text.Json;
using System.Text.Json.Serialization;

namespace BitLab.Cli.Serving;

// The messages of OpenAI's API that this server knows, in snake case.

/// <summary>A request of either kind. What may have several forms is read by <see cref="RequestReader"/>.</summary>
internal sealed record CompletionRequest
{
    public JsonElement? Prompt { get; init; }

    public IReadOnlyList<RequestMessage>? Messages { get; init; }

    public int? MaxTokens { get; init; }

    public int? MaxCompletionTokens { get; init; }

    public float? Temperature { get; init; }

    public float? TopP { get; init; }

    public int? TopK { get; init; }

    public float? MinP { get; init; }

    public float? RepetitionPenalty { get; init; }

    public long? Seed { get; init; }

    public JsonElement? Stop { get; init; }

    public bool? Stream { get; init; }

    public StreamOptions? StreamOptions { get; init; }

    public int? N { get; init; }
}

internal sealed record StreamOptions(bool IncludeUsage = false);

internal sealed record RequestMessage(string? Role, JsonElement? Content);

internal sealed record Usage(int PromptTokens, int CompletionTokens, int TotalTokens);

internal sealed record ChatMessage(string? Role, string? Content);

internal sealed record Choice
{
    public int Index { get; init; }

    public string? Text { get; init; }

    public ChatMessage? Message { get; init; }

    public ChatMessage? Delta { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? FinishReason { get; init; }
}

internal sealed record CompletionResponse(string Id, string Object, long Created, string Model, IReadOnlyList<Choice> Choices, Usage? Usage);

internal sealed record ErrorDetail(string Message, string Type, string? Code);

internal sealed record ErrorResponse(ErrorDetail Error);

internal sealed record ModelEntry(string Id, string Object, long Created, string OwnedBy);

internal sealed record ModelList(string Object, IReadOnlyList<ModelEntry> Data);

internal sealed record Health(string Status, int Active, int Waiting);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(CompletionRequest))]
[JsonSerializable(typeof(CompletionResponse))]
[JsonSerializable(typeof(ErrorResponse))]
[JsonSerializable(typeof(ModelList))]
[JsonSerializable(typeof(Health))]
internal sealed partial class MessageJson : JsonSerializerContext;
