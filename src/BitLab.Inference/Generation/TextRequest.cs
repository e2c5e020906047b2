using System.Threading.Channels;

namespace BitLab.Inference;

/// <summary>A text in work: what was asked for, how far it is, and where its pieces go.</summary>
internal sealed class TextRequest
{
    private readonly BitNetTokenizer tokenizer;
    private readonly GenerationOptions options;
    private readonly TokenSampler sampler;
    private readonly StopStrings stops;
    private readonly Utf8Pieces characters = new();
    private readonly Channel<GeneratedText> pieces =
        Channel.CreateUnbounded<GeneratedText>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });

    private readonly HashSet<int> endTokens;
    private readonly int promptTokens;
    private int generated;

    public TextRequest(
        BitNetRunner runner, BitNetTokenizer tokenizer, IReadOnlyList<int> prompt, GenerationOptions options, CancellationToken cancellation)
    {
        this.tokenizer = tokenizer;
        this.options = options;
        Cancellation = cancellation;
        promptTokens = prompt.Count;
        Tokens = [.. prompt];
        sampler = new TokenSampler(options, runner.Config.VocabSize);
        sampler.Observe(Tokens.ToArray());
        stops = new StopStrings(options.StopStrings);
        endTokens = [.. options.StopTokens, .. options.IgnoreEndOfText ? [] : runner.Config.EosTokenIds];
    }

    /// <summary>The prompt and what was generated.</summary>
    public List<int> Tokens { get; }

    public CancellationToken Cancellation { get; }

    public ChannelReader<GeneratedText> Pieces => pieces.Reader;

    /// <summary>Set while the text is in work.</summary>
    public BitNetSequence? Sequence { get; set; }

    /// <summary>The entry in the step that runs, where it has one with logits; else -1.</summary>
    public int Entry { get; set; } = -1;

    public bool IsFinished { get; private set; }

    /// <summary>Chooses the next token and passes its text on.</summary>
    public void Accept(Span<float> logits)
    {
        int token = sampler.Next(logits);
        generated++;
        bool hasRoom = generated < options.MaxTokens && Tokens.Count + 1 < Sequence!.Capacity;
        if (endTokens.Contains(token))
        {
            Finish(token, stops.Push(characters.Flush()) + stops.Flush(), FinishReason.EndOfText);
            return;
        }
        Tokens.Add(token);
        sampler.Observe([token]);
        string text = stops.Push(characters.Push(tokenizer.BytesOf(token)));
        if (stops.IsFound)
            Finish(token, text, FinishReason.StopString);
        else if (!hasRoom)
            Finish(token, text + stops.Push(characters.Flush()) + stops.Flush(), FinishReason.Length);
        else
            pieces.Writer.TryWrite(new GeneratedText(text, token, promptTokens, generated, null));
    }

    /// <summary>Ends the text with an error, or where it was canceled.</summary>
    public void Fail(Exception error)
    {
        IsFinished = true;
        pieces.Writer.TryComplete(error);
    }

    private void Finish(int token, string text, FinishReason reason)
    {
        IsFinished = true;
        if (stops.IsFound)
            reason = FinishReason.StopString;
        pieces.Writer.TryWrite(new GeneratedText(text, token, promptTokens, generated, reason));
        pieces.Writer.TryComplete();
    }
}
