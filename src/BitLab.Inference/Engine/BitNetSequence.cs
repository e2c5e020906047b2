using BitLab.Core;

namespace BitLab.Inference;

/// <summary>One text in work: the keys and values of its tokens so far.</summary>
/// <remarks>Not for use by two threads at once. Its memory is native; the system provides it page by page as the text
/// grows.</remarks>
public sealed unsafe class BitNetSequence : IDisposable
{
    private readonly NativeBuffer cache;
    private readonly int keyPositions;
    private readonly int headDim;
    private readonly int valueStride;
    private readonly int elementBytes;
    private readonly int kvHeads;

    internal BitNetSequence(BitNetRunner runner, int capacity)
    {
        Runner = runner;
        Capacity = capacity;
        BitNetConfig config = runner.Config;
        Type = runner.Options.KvCache == KvCacheType.Float16 ? ElementType.Float16 : ElementType.Float32;
        elementBytes = Type.Bytes();
        headDim = config.HeadDim;
        kvHeads = config.NumKeyValueHeads;
        valueStride = RoundUp(headDim);
        keyPositions = RoundUp(capacity);
        Int128 bytes = (Int128)HeadBytes * config.NumHiddenLayers * kvHeads;
        if (bytes > long.MaxValue / 2)
            throw new ArgumentOutOfRangeException(nameof(capacity), capacity, "No memory holds so many tokens.");
        cache = new NativeBuffer((long)bytes, holdsWeights: false);
    }

    /// <summary>The tokens that are computed and kept: the position of the next one.</summary>
    public int Position { get; private set; }

    /// <summary>The most tokens it can have.</summary>
    public int Capacity { get; }

    /// <summary>The model it belongs to.</summary>
    public BitNetRunner Runner { get; }

    internal ElementType Type { get; }

    internal int ValueStride => valueStride;

    internal bool IsDisposed => cache.IsClosed;

    /// <summary>Whether a batch has it.</summary>
    internal bool IsInBatch { get; set; }

    private long HeadBytes => ((long)keyPositions * headDim + ((long)Capacity * valueStride)) * elementBytes;

    /// <summary>Forgets the last tokens, for example to answer another question after the same beginning.</summary>
    /// <param name="position">How many tokens to keep, at most <see cref="Position"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are not as many.</exception>
    /// <exception cref="InvalidOperationException">A batch has it.</exception>
    public void Truncate(int position)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(position, Position);
        if (IsInBatch)
            throw new InvalidOperationException("The sequence is in a batch that was not run or cleared.");
        Position = position;
    }

    /// <summary>Frees the keys and values.</summary>
    public void Dispose() => cache.Dispose();

    internal void Advance(int tokens) => Position += tokens;

    internal byte* Keys(int layer, int head) => cache.Pointer + ((((long)layer * kvHeads) + head) * HeadBytes);

    internal byte* Values(int layer, int head) => Keys(layer, head) + ((long)keyPositions * headDim * elementBytes);

    /// <summary>Keeps the key and the value of one token, all heads.</summary>
    internal void Store(int layer, int position, float* key, float* value)
    {
        const int Block = AttentionTask.KeyBlock;
        long keyAt = ((long)(position / Block) * Block * headDim) + (position % Block);
        long valueAt = (long)position * valueStride;
        for (int head = 0; head < kvHeads; head++, key += headDim, value += headDim)
        {
            byte* keys = Keys(layer, head), values = Values(layer, head);
            if (Type == ElementType.Float32)
            {
                for (int i = 0; i < headDim; i++)
                    ((float*)keys)[keyAt + ((long)i * Block)] = key[i];
                new ReadOnlySpan<float>(value, headDim).CopyTo(new Span<float>((float*)values + valueAt, headDim));
            }
            else
            {
                for (int i = 0; i < headDim; i++)
                {
                    ((Half*)keys)[keyAt + ((long)i * Block)] = (Half)key[i];
                    ((Half*)values)[valueAt + i] = (Half)value[i];
                }
            }
        }
    }

    private static int RoundUp(int count) => (int)(((long)count + 15) / 16 * 16);
}
