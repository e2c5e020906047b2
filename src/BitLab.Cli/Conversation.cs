using BitLab.Inference;

namespace BitLab.Cli;

/// <summary>What was said, and what the model answers.</summary>
internal sealed class Conversation(TextGenerator generator)
{
    private readonly ChatTemplate template = ChatTemplate.For(generator);

    public List<ChatTurn> Turns { get; } = [];

    public IAsyncEnumerable<GeneratedText> Answer(GenerationOptions options, CancellationToken cancellation) =>
        Answer(generator, template, Turns, options, cancellation);

    /// <summary>The model's answer to some turns, piece by piece.</summary>
    public static IAsyncEnumerable<GeneratedText> Answer(
        TextGenerator generator, ChatTemplate template, IReadOnlyList<ChatTurn> turns, GenerationOptions options, CancellationToken cancellation) =>
        generator.StreamAsync(
            template.Render(generator.Tokenizer, turns),
            options with { StopTokens = [.. options.StopTokens, .. template.StopTokens.Select(generator.Tokenizer.SpecialToken).OfType<int>()] },
            cancellation);
}
