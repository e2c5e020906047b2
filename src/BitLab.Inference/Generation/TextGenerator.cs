using System.Runtime.CompilerServices;

namespace BitLab.Inference;

/// <summary>Generates texts with a model, many at the same time: each step of the model computes the next tokens of all texts
/// in work, which come and go between steps.</summary>
/// <remarks>Any number of threads may ask for texts. A text's tokens do not depend on what else is in work. The steps run on one
/// thread of the generator's own, which is there while there is work.</remarks>
public sealed class TextGenerator : IDisposable
{
    private readonly StepLoop loop;
    private readonly bool ownsRunner;

    /// <summary>Creates a generator.</summary>
    /// <param name="runner">The model; not disposed with the generator.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="options">How the model is shared; null for the defaults.</param>
    /// <exception cref="ArgumentException">A step has fewer tokens than there are texts at the same time.</exception>
    public TextGenerator(BitNetRunner runner, BitNetTokenizer tokenizer, TextGeneratorOptions? options = null)
        : this(runner, tokenizer, options, ownsRunner: false)
    {
    }

    private TextGenerator(BitNetRunner runner, BitNetTokenizer tokenizer, TextGeneratorOptions? options, bool ownsRunner)
    {
        ArgumentNullException.ThrowIfNull(runner);
        ArgumentNullException.ThrowIfNull(tokenizer);
        options ??= new TextGeneratorOptions();
        if (options.StepTokens < options.MaxSequences)
        {
            throw new ArgumentException(
                $"Steps of {options.StepTokens} tokens have no room for {options.MaxSequences} texts.", nameof(options));
        }
        Runner = runner;
        Tokenizer = tokenizer;
        Options = options;
        ContextTokens = options.ContextTokens ?? runner.Config.MaxPositionEmbeddings;
        this.ownsRunner = ownsRunner;
        loop = new StepLoop(runner, options, ContextTokens);
    }

    /// <summary>The model.</summary>
    public BitNetRunner Runner { get; }

    /// <summary>Its tokenizer.</summary>
    public BitNetTokenizer Tokenizer { get; }

    /// <summary>How the model is shared.</summary>
    public TextGeneratorOptions Options { get; }

    /// <summary>The most tokens of a text, prompt included.</summary>
    public int ContextTokens { get; }

    /// <summary>What is in work and what was done.</summary>
    public GeneratorStatistics Statistics => loop.Statistics;

    /// <summary>Loads a model and its tokenizer.</summary>
    /// <param name="path">A folder or a GGUF file, with a tokenizer (<see cref="BitNetTokenizer.Load"/>).</param>
    /// <param name="options">How the model is shared; null for the defaults.</param>
    /// <param name="runnerOptions">How it runs; null for the defaults.</param>
    /// <returns>The generator, which owns the model.</returns>
    /// <exception cref="InvalidDataException">A file is damaged, or of a kind that BitLab does not read.</exception>
    /// <exception cref="IOException">A file is not there or cannot be read.</exception>
    public static TextGenerator Load(string path, TextGeneratorOptions? options = null, BitNetRunnerOptions? runnerOptions = null)
    {
        BitNetTokenizer tokenizer = BitNetTokenizer.Load(path);
        BitNetRunner runner = BitNetRunner.Load(path, runnerOptions);
        try
        {
            return new TextGenerator(runner, tokenizer, options, ownsRunner: true);
        }
        catch
        {
            runner.Dispose();
            throw;
        }
    }

    /// <summary>Continues a text, piece by piece.</summary>
    /// <param name="prompt">The text. Special tokens that it spells out are plain text.</param>
    /// <param name="options">How; null for greedy.</param>
    /// <param name="cancellation">Ends the text at the next token. So does leaving the loop over the pieces.</param>
    /// <returns>The pieces as they come. The last says why the text ended.</returns>
    /// <exception cref="ArgumentException">The prompt has more tokens than <see cref="ContextTokens"/> leaves room for, or
    /// none.</exception>
    /// <exception cref="OperationCanceledException">It was canceled.</exception>
    public IAsyncEnumerable<GeneratedText> StreamAsync(
        string prompt, GenerationOptions? options = null, CancellationToken cancellation = default) =>
        StreamAsync(Tokenizer.Encode(prompt), options, cancellation);

    /// <summary>Continues tokens, piece by piece.</summary>
    /// <param name="prompt">The tokens, at least 1.</param>
    /// <param name="options">How; null for greedy.</param>
    /// <param name="cancellation">Ends the text at the next token. So does leaving the loop over the pieces.</param>
    /// <returns>The pieces as they come. The last says why the text ended.</returns>
    /// <exception cref="ArgumentException">There are more tokens than <see cref="ContextTokens"/> leaves room for, or none, or one is
    /// outside the vocabulary.</exception>
    /// <exception cref="OperationCanceledException">It was canceled.</exception>
    public IAsyncEnumerable<GeneratedText> StreamAsync(
        IReadOnlyList<int> prompt, GenerationOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        if (prompt.Count == 0)
            throw new ArgumentException("The prompt has no tokens.", nameof(prompt));
        if (prompt.Count >= ContextTokens)
        {
            throw new ArgumentException(
                $"The prompt has {prompt.Count} tokens; a text has at most {ContextTokens}, the answer included.", nameof(prompt));
        }
        foreach (int token in prompt)
        {
            if ((uint)token >= (uint)Runner.Config.VocabSize)
                throw new ArgumentException($"Token {token} is outside the vocabulary of {Runner.Config.VocabSize}.", nameof(prompt));
        }
        return Pieces(prompt, options ?? new GenerationOptions(), cancellation);
    }

    /// <summary>Continues a text to its end.</summary>
    /// <param name="prompt">The text. Special tokens that it spells out are plain text.</param>
    /// <param name="options">How; null for greedy.</param>
    /// <param name="cancellation">Ends it with an <see cref="OperationCanceledException"/>.</param>
    /// <returns>The text.</returns>
    /// <exception cref="ArgumentException">The prompt has more tokens than <see cref="ContextTokens"/> leaves room for, or
    /// none.</exception>
    public async Task<GenerationResult> GenerateAsync(
        string prompt, GenerationOptions? options = null, CancellationToken cancellation = default)
    {
        var text = new System.Text.StringBuilder();
        GeneratedText last = default;
        await foreach (GeneratedText piece in StreamAsync(prompt, options, cancellation).ConfigureAwait(false))
        {
            text.Append(piece.Text);
            last = piece;
        }
        return new GenerationResult(text.ToString(), last.Finish!.Value, last.PromptTokens, last.CompletionTokens);
    }

    /// <summary>Ends what is in work with an <see cref="ObjectDisposedException"/>, and disposes a model that
    /// <see cref="Load"/> loaded.</summary>
    public void Dispose()
    {
        loop.Dispose();
        if (ownsRunner)
            Runner.Dispose();
    }

    private async IAsyncEnumerable<GeneratedText> Pieces(
        IReadOnlyList<int> prompt, GenerationOptions options, CancellationToken cancellation,
        [EnumeratorCancellation] CancellationToken loopCancellation = default)
    {
        // Canceled by the caller, by whoever loops, or by leaving the loop.
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, loopCancellation);
        var request = new TextRequest(Runner, Tokenizer, prompt, options, stop.Token);
        loop.Add(request);
        try
        {
            await foreach (GeneratedText piece in request.Pieces.ReadAllAsync(stop.Token).ConfigureAwait(false))
            {
                // A fast model is ahead of its reader: what it has written already is not for who has gone.
                stop.Token.ThrowIfCancellationRequested();
                yield return piece;
            }
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
        }
    }
}
