using System.Runtime.CompilerServices;
using Microsoft.Extensions.AI;

namespace BitLab.Inference;

/// <summary>A model as an <see cref="IChatClient"/> of Microsoft.Extensions.AI.</summary>
/// <remarks>
/// Of <see cref="ChatOptions"/> it takes <c>Temperature</c>, <c>TopP</c>, <c>TopK</c>, <c>Seed</c>, <c>MaxOutputTokens</c>,
/// <c>StopSequences</c> and <c>Instructions</c>, and <c>min_p</c> and <c>repetition_penalty</c> among the additional properties.
/// Where an option says nothing, <see cref="Defaults"/> do. Tools, and formats other than text, are refused.
/// </remarks>
public sealed class BitNetChatClient : IChatClient
{
    private readonly bool ownsGenerator;
    private readonly ChatClientMetadata metadata;

    /// <summary>Creates a client.</summary>
    /// <param name="generator">The model.</param>
    /// <param name="template">How it reads conversations; null: what came with it (<see cref="ChatTemplate.For"/>).</param>
    /// <param name="modelId">What responses call the model.</param>
    /// <param name="defaults">How answers are generated where a request does not say; null: greedy, up to
    /// <see cref="GenerationOptions.MaxTokens"/>.</param>
    /// <param name="ownsGenerator">Whether the generator is disposed with the client.</param>
    /// <exception cref="NotSupportedException">The model's template is none that BitLab knows.</exception>
    public BitNetChatClient(
        TextGenerator generator, ChatTemplate? template = null, string modelId = "bitnet", GenerationOptions? defaults = null, bool ownsGenerator = false)
    {
        ArgumentNullException.ThrowIfNull(generator);
        Generator = generator;
        Template = template ?? ChatTemplate.For(generator);
        ModelId = modelId;
        Defaults = defaults ?? new GenerationOptions();
        this.ownsGenerator = ownsGenerator;
        metadata = new ChatClientMetadata("bitlab", providerUri: null, modelId);
    }

    /// <summary>The model.</summary>
    public TextGenerator Generator { get; }

    /// <summary>How it reads conversations.</summary>
    public ChatTemplate Template { get; }

    /// <summary>What responses call it.</summary>
    public string ModelId { get; }

    /// <summary>How answers are generated where a request does not say.</summary>
    public GenerationOptions Defaults { get; }

    /// <inheritdoc/>
    public async Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        var updates = new List<ChatResponseUpdate>();
        await foreach (ChatResponseUpdate update in GetStreamingResponseAsync(messages, options, cancellationToken).ConfigureAwait(false))
            updates.Add(update);
        return updates.ToChatResponse();
    }

    /// <inheritdoc/>
    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        CheckOptions(options);
        var turns = new List<ChatTurn>();
        if (!string.IsNullOrEmpty(options?.Instructions))
            turns.Add(new ChatTurn("system", options.Instructions));
        turns.AddRange(messages.Select(TurnOf));
        IReadOnlyList<int> prompt = Template.Render(Generator.Tokenizer, turns);
        IAsyncEnumerable<GeneratedText> pieces = Generator.StreamAsync(prompt, OptionsOf(options), cancellationToken);
        return Updates(pieces, options?.ModelId ?? ModelId, cancellationToken);
    }

    /// <inheritdoc/>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey is not null ? null
            : serviceType == typeof(ChatClientMetadata) ? metadata
            : serviceType.IsInstanceOfType(this) ? this
            : serviceType.IsInstanceOfType(Generator) ? Generator
            : null;
    }

    /// <summary>Disposes the generator, where the client owns it.</summary>
    public void Dispose()
    {
        if (ownsGenerator)
            Generator.Dispose();
    }

    private static async IAsyncEnumerable<ChatResponseUpdate> Updates(
        IAsyncEnumerable<GeneratedText> pieces, string modelId, [EnumeratorCancellation] CancellationToken cancellation)
    {
        string id = $"chatcmpl-{Guid.NewGuid():N}";
        DateTimeOffset created = DateTimeOffset.UtcNow;
        await foreach (GeneratedText piece in pieces.WithCancellation(cancellation).ConfigureAwait(false))
        {
            if (piece.Text.Length == 0 && piece.Finish is null)
                continue;
            var update = new ChatResponseUpdate(ChatRole.Assistant, piece.Text)
            {
                CreatedAt = created,
                MessageId = id,
                ModelId = modelId,
                ResponseId = id,
            };
            if (piece.Finish is FinishReason reason)
            {
                update.FinishReason = reason == FinishReason.Length ? ChatFinishReason.Length : ChatFinishReason.Stop;
                update.Contents.Add(new UsageContent(new UsageDetails
                {
                    InputTokenCount = piece.PromptTokens,
                    OutputTokenCount = piece.CompletionTokens,
                    TotalTokenCount = piece.PromptTokens + piece.CompletionTokens,
                }));
            }
            yield return update;
        }
    }

    private static ChatTurn TurnOf(ChatMessage message)
    {
        foreach (AIContent content in message.Contents)
        {
            if (content is not (TextContent or UsageContent))
                throw new NotSupportedException($"The model reads text, not {content.GetType().Name}.");
        }
        return new ChatTurn(message.Role.Value, message.Text);
    }

    private static void CheckOptions(ChatOptions? options)
    {
        if (options?.Tools is { Count: > 0 } && options.ToolMode is not NoneChatToolMode)
            throw new NotSupportedException("The model calls no tools.");
        if (options?.ResponseFormat is not (null or ChatResponseFormatText))
            throw new NotSupportedException("The model answers in text; no other format can be asked for.");
    }

    private GenerationOptions OptionsOf(ChatOptions? options) => Defaults with
    {
        Temperature = options?.Temperature ?? Defaults.Temperature,
        TopP = options?.TopP ?? Defaults.TopP,
        TopK = options?.TopK ?? Defaults.TopK,
        Seed = options?.Seed ?? Defaults.Seed,
        MaxTokens = options?.MaxOutputTokens ?? Defaults.MaxTokens,
        MinP = Additional(options, "min_p") ?? Defaults.MinP,
        RepetitionPenalty = Additional(options, "repetition_penalty") ?? Defaults.RepetitionPenalty,
        StopStrings = options?.StopSequences is { } stops ? [.. stops] : Defaults.StopStrings,
        StopTokens = [.. Defaults.StopTokens, .. Template.StopTokenNumbers(Generator.Tokenizer)],
    };

    private static float? Additional(ChatOptions? options, string name)
    {
        if (options?.AdditionalProperties is not { } properties || !properties.TryGetValue(name, out object? value))
            return null;
        return value switch
        {
            float number => number,
            double number => (float)number,
            int number => number,
            System.Text.Json.JsonElement { ValueKind: System.Text.Json.JsonValueKind.Number } number => number.GetSingle(),
            _ => throw new ArgumentException($"{name} is no number.", nameof(options)),
        };
    }
}
