namespace BitLab.Inference;

/// <summary>Of which of its tokens a batch's entry wants logits.</summary>
public enum LogitsFor
{
    /// <summary>The last one.</summary>
    LastToken,

    /// <summary>All: what perplexity is computed from.</summary>
    AllTokens,

    /// <summary>None: parts of a prompt before the last.</summary>
    NoToken,
}

/// <summary>Steps of a model: add the next tokens of some sequences, run, read logits, clear.</summary>
/// <remarks>
/// One step takes prompts and single tokens of any sequences, which may come and go between steps. A token's logits have the
/// same bits whatever else is in its step, however a prompt is cut into steps, and for any number of threads. Once the
/// largest step was run nothing is allocated. Not for use by two threads at once.
/// </remarks>
public sealed unsafe class BitNetBatch : IDisposable
{
    private readonly BitNetRunner runner;
    private readonly ForwardPass pass;
    private bool hasRun;

    internal BitNetBatch(BitNetRunner runner, int maxTokens)
    {
        this.runner = runner;
        MaxTokens = maxTokens;
        pass = new ForwardPass(runner, maxTokens);
    }

    /// <summary>The most tokens of one step.</summary>
    public int MaxTokens { get; }

    /// <summary>The tokens added so far.</summary>
    public int TokenCount => pass.TokenCount;

    /// <summary>The entries added so far.</summary>
    public int Count => pass.Entries.Count;

    /// <summary>Adds the next tokens of a sequence.</summary>
    /// <param name="sequence">Of the same model, not in this or another batch.</param>
    /// <param name="tokens">At least 1.</param>
    /// <param name="logits">Of which of them to compute logits.</param>
    /// <returns>The number of the entry, for <see cref="Logits"/>.</returns>
    /// <exception cref="ArgumentException">The sequence is of another model or in a batch, there are no tokens, or one is
    /// outside the vocabulary.</exception>
    /// <exception cref="InvalidOperationException">The batch was run and not cleared, or has no room, or the sequence has
    /// none.</exception>
    /// <exception cref="ObjectDisposedException">The sequence or the batch is disposed.</exception>
    public int Add(BitNetSequence sequence, ReadOnlySpan<int> tokens, LogitsFor logits = LogitsFor.LastToken)
    {
        ArgumentNullException.ThrowIfNull(sequence);
        ObjectDisposedException.ThrowIf(pass.IsDisposed, this);
        ObjectDisposedException.ThrowIf(sequence.IsDisposed, sequence);
        if (hasRun)
            throw new InvalidOperationException("The batch was run; clear it before adding.");
        if (sequence.Runner != runner)
            throw new ArgumentException("The sequence belongs to another model.", nameof(sequence));
        if (sequence.IsInBatch)
            throw new ArgumentException("The sequence is in a batch already.", nameof(sequence));
        if (tokens.IsEmpty)
            throw new ArgumentException("There are no tokens.", nameof(tokens));
        if (tokens.Length > MaxTokens - TokenCount)
            throw new InvalidOperationException($"The batch has room for {MaxTokens - TokenCount} tokens more, not {tokens.Length}.");
        if (tokens.Length > sequence.Capacity - sequence.Position)
        {
            throw new InvalidOperationException(
                $"The sequence has {sequence.Position} of {sequence.Capacity} tokens, so no room for {tokens.Length}.");
        }
        int outside = tokens.IndexOfAnyExceptInRange(0, runner.Config.VocabSize - 1);
        if (outside >= 0)
        {
            throw new ArgumentException(
                $"Token {tokens[outside]} is outside the vocabulary of {runner.Config.VocabSize}.", nameof(tokens));
        }
        return pass.Add(sequence, tokens, logits);
    }

    /// <summary>Computes the step. The sequences advance by their tokens.</summary>
    /// <param name="cancellation">Looked at before each layer. When it cancels, no sequence has advanced.</param>
    /// <exception cref="OperationCanceledException">It was canceled.</exception>
    /// <exception cref="InvalidOperationException">The batch is empty or was run already.</exception>
    /// <exception cref="ObjectDisposedException">The model, a sequence or the batch is disposed.</exception>
    public void Run(CancellationToken cancellation = default)
    {
        ObjectDisposedException.ThrowIf(pass.IsDisposed, this);
        if (hasRun || Count == 0)
            throw new InvalidOperationException(hasRun ? "The batch was run already." : "The batch is empty.");
        runner.Rent();
        try
        {
            pass.Run(cancellation);
        }
        finally
        {
            runner.Return();
        }
        hasRun = true;
        foreach (ref readonly BatchEntry entry in pass.EntrySpan)
        {
            entry.Sequence.Advance(entry.Count);
            entry.Sequence.IsInBatch = false;
        }
    }

    /// <summary>The logits of an entry: a score for each token of the vocabulary to be the next one.</summary>
    /// <param name="entry">What <see cref="Add"/> returned.</param>
    /// <param name="token">With <see cref="LogitsFor.AllTokens"/>, of which of its tokens; else 0.</param>
    /// <returns>(vocabulary), valid until the batch is cleared.</returns>
    /// <exception cref="InvalidOperationException">The batch was not run.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There is no such entry, or no logits of such a token.</exception>
    public Span<float> Logits(int entry, int token = 0)
    {
        if (!hasRun)
            throw new InvalidOperationException("The batch was not run.");
        ArgumentOutOfRangeException.ThrowIfNegative(entry);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(entry, Count);
        BatchEntry found = pass.Entries[entry];
        ArgumentOutOfRangeException.ThrowIfNegative(token);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(token, found.LogitRows);
        return new Span<float>(pass.Logits(found.FirstLogitRow + token), runner.Config.VocabSize);
    }

    /// <summary>Empties the batch. Sequences that were added and not run are as before.</summary>
    public void Clear()
    {
        foreach (ref readonly BatchEntry entry in pass.EntrySpan)
            entry.Sequence.IsInBatch = false;
        pass.Clear();
        hasRun = false;
    }

    /// <summary>Frees the room.</summary>
    public void Dispose()
    {
        if (!pass.IsDisposed)
            Clear();
        pass.Dispose();
    }
}
