namespace BitLab.Inference;

/// <summary>Which tokens a text has, or its last ones.</summary>
internal sealed class RepetitionMemory(int vocabularySize, int window)
{
    private readonly int[] counts = new int[vocabularySize];

    // The last tokens in a ring, where only those count.
    private readonly int[] last = new int[window];
    private int added;

    public void Add(int token)
    {
        counts[token]++;
        if (window == 0)
            return;
        int at = added % window;
        if (added >= window)
            counts[last[at]]--;
        last[at] = token;
        // Wraps to a number that has the same place in the ring.
        added = added == (2 * window) - 1 ? window : added + 1;
    }

    public void Penalize(Span<float> logits, float penalty)
    {
        for (int token = 0; token < logits.Length; token++)
        {
            if (counts[token] > 0)
                logits[token] = logits[token] > 0 ? logits[token] / penalty : logits[token] * penalty;
        }
    }
}
