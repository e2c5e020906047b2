using System.Runtime.InteropServices;

namespace BitLab.Inference;

/// <summary>Runs the steps of a model for all texts in work, on a thread that is there while there are some.</summary>
internal sealed class StepLoop : IDisposable
{
    private readonly Lock gate = new();
    private readonly TextGeneratorOptions options;
    private readonly BitNetBatch batch;
    private readonly SequencePool pool;
    private readonly List<TextRequest> active = [];
    private readonly LinkedList<TextRequest> waiting = [];
    private Thread? thread;
    private bool isDisposed;
    private int activeCount;
    private long promptTokens, completionTokens, steps;

    public StepLoop(BitNetRunner runner, TextGeneratorOptions options, int contextTokens)
    {
        this.options = options;
        batch = runner.CreateBatch(options.StepTokens);
        pool = new SequencePool(runner, contextTokens, options.ReusesPrefixes);
    }

    public GeneratorStatistics Statistics
    {
        get
        {
            lock (gate)
                return new GeneratorStatistics(activeCount, waiting.Count, promptTokens, completionTokens, steps);
        }
    }

    public void Add(TextRequest request)
    {
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(isDisposed, typeof(TextGenerator));
            waiting.AddLast(request);
            if (thread is not null)
                return;
            thread = new Thread(Loop) { IsBackground = true, Name = "BitLab text generation" };
            thread.Start();
        }
    }

    public void Dispose()
    {
        Thread? running;
        lock (gate)
        {
            if (isDisposed)
                return;
            isDisposed = true;
            running = thread;
        }
        // A step of at most StepTokens ends first.
        if (running != Thread.CurrentThread)
            running?.Join();
        pool.Dispose();
        batch.Dispose();
    }

    private void Loop()
    {
        while (Admit())
        {
            try
            {
                Step();
            }
#pragma warning disable CA1031 // Whatever it is, it goes to those whose texts it ended.
            catch (Exception error)
#pragma warning restore CA1031
            {
                FailAll(error);
            }
        }
    }

    // Lets finished texts go and waiting ones in. Returns whether there is work; if not, the thread ends.
    private bool Admit()
    {
        lock (gate)
        {
            for (int i = active.Count - 1; i >= 0; i--)
            {
                if (active[i].Cancellation.IsCancellationRequested && !active[i].IsFinished)
                    active[i].Fail(new OperationCanceledException(active[i].Cancellation));
                if (active[i].IsFinished)
                    Release(i);
            }
            for (LinkedListNode<TextRequest>? node = waiting.First, next; node is not null; node = next)
            {
                next = node.Next;
                if (node.Value.Cancellation.IsCancellationRequested)
                    node.Value.Fail(new OperationCanceledException(node.Value.Cancellation));
                else if (isDisposed)
                    node.Value.Fail(new ObjectDisposedException(nameof(TextGenerator)));
                else if (active.Count < options.MaxSequences)
                    Begin(node.Value);
                else
                    continue;
                waiting.Remove(node);
            }
            if (isDisposed)
                FailActive(new ObjectDisposedException(nameof(TextGenerator)));
            activeCount = active.Count;
            if (active.Count > 0)
                return true;
            thread = null;
            return false;
        }
    }

    private void Begin(TextRequest request)
    {
        try
        {
            request.Sequence = pool.Take(request.Tokens);
            active.Add(request);
        }
        catch (Exception error) when (error is OutOfMemoryException or ObjectDisposedException)
        {
            request.Fail(error);
        }
    }

    private void Step()
    {
        batch.Clear();
        long prompts = 0, chosen = 0;
        // Single tokens first: texts that are being read go on. What room is left is for prompts, the oldest first.
        foreach (TextRequest request in active)
        {
            request.Entry = -1;
            if (Left(request) == 1)
                request.Entry = batch.Add(request.Sequence!, CollectionsMarshal.AsSpan(request.Tokens)[^1..]);
        }
        foreach (TextRequest request in active)
        {
            int left = Left(request), count = Math.Min(left, options.StepTokens - batch.TokenCount);
            if (left == 1 || count == 0)
                continue;
            bool isWhole = count == left;
            int entry = batch.Add(
                request.Sequence!, CollectionsMarshal.AsSpan(request.Tokens).Slice(request.Sequence!.Position, count),
                isWhole ? LogitsFor.LastToken : LogitsFor.NoToken);
            request.Entry = isWhole ? entry : -1;
            prompts += count;
        }
        // With one text alone in work, nobody else needs the step.
        batch.Run(active.Count == 1 ? active[0].Cancellation : default);
        foreach (TextRequest request in active)
        {
            if (request.Entry < 0)
                continue;
            Accept(request);
            chosen++;
        }
        lock (gate)
        {
            promptTokens += prompts;
            completionTokens += chosen;
            steps++;
        }
    }

    private void Accept(TextRequest request)
    {
        try
        {
            request.Accept(batch.Logits(request.Entry));
        }
        catch (InvalidOperationException error)
        {
            // This text's logits are no numbers; the others go on.
            request.Fail(error);
        }
    }

    // Tokens that the model has not seen yet.
    private static int Left(TextRequest request) => request.Tokens.Count - request.Sequence!.Position;

    private void FailAll(Exception error)
    {
        batch.Clear();
        lock (gate)
            FailActive(error);
    }

    private void FailActive(Exception error)
    {
        for (int i = active.Count - 1; i >= 0; i--)
        {
            if (!active[i].IsFinished)
                active[i].Fail(error);
            Release(i);
        }
    }

    private void Release(int index)
    {
        TextRequest request = active[index];
        active.RemoveAt(index);
        pool.Return(request.Sequence!, request.Tokens);
    }
}
