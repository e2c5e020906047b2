using System.Runtime.InteropServices;

namespace BitLab.Inference;

/// <summary>Sequences that no text is using, with the tokens that they hold: the next text that begins as one of them did
/// takes it over.</summary>
internal sealed class SequencePool(BitNetRunner runner, int capacity, bool reusesPrefixes) : IDisposable
{
    private readonly List<(BitNetSequence Sequence, List<int> Tokens)> idle = [];

    /// <summary>A sequence with as many of the first tokens as one has; one token is left to compute.</summary>
    public BitNetSequence Take(List<int> tokens)
    {
        int best = -1, longest = -1;
        for (int i = 0; i < idle.Count; i++)
        {
            int common = reusesPrefixes ? CommonPrefix(idle[i], tokens) : 0;
            // Of equals the one that has been idle longest, so that other beginnings stay.
            if (common > longest)
                (best, longest) = (i, common);
        }
        if (best < 0)
            return runner.CreateSequence(capacity);
        BitNetSequence sequence = idle[best].Sequence;
        idle.RemoveAt(best);
        sequence.Truncate(longest);
        return sequence;
    }

    public void Return(BitNetSequence sequence, List<int> tokens) => idle.Add((sequence, tokens));

    public void Dispose()
    {
        idle.ForEach(item => item.Sequence.Dispose());
        idle.Clear();
    }

    private static int CommonPrefix((BitNetSequence Sequence, List<int> Tokens) held, List<int> tokens)
    {
        int most = Math.Min(held.Sequence.Position, tokens.Count - 1);
        ReadOnlySpan<int> first = CollectionsMarshal.AsSpan(held.Tokens)[..most], second = CollectionsMarshal.AsSpan(tokens)[..most];
        return first.CommonPrefixLength(second);
    }
}
