using BitLab.Core;

namespace BitLab.Inference;

/// <summary>A BitNet transformer ready to compute: its weights, read once and shared by all who use them.</summary>
/// <remarks>
/// A <see cref="BitNetSequence"/> is one text with its keys and values, a <see cref="BitNetBatch"/> computes a step of some
/// of them. Any number of batches may run at the same time, each on a thread of its own, with different sequences. Whoever
/// just wants text uses <see cref="TextGenerator"/>.
/// </remarks>
public sealed class BitNetRunner : IDisposable
{
    private readonly Lock gate = new();
    private volatile RotaryTable? rotary;

    private BitNetRunner(BitNetWeights weights, BitNetRunnerOptions options)
    {
        Weights = weights;
        Options = options;
    }

    /// <summary>The model's shape.</summary>
    public BitNetConfig Config => Weights.Config;

    /// <summary>How it runs.</summary>
    public BitNetRunnerOptions Options { get; }

    /// <summary>The bytes of weights that a step reads, however many tokens it computes: packed linear layers and head. What
    /// bounds the speed of decoding.</summary>
    public long BytesPerStep => Weights.BytesPerToken;

    internal BitNetWeights Weights { get; }

    /// <summary>Loads a model.</summary>
    /// <param name="path">What <see cref="BitNetCheckpoint.Open"/> takes: a folder, or a GGUF file.</param>
    /// <param name="options">How it is to run; null for the defaults.</param>
    /// <returns>The model, which the caller disposes.</returns>
    /// <exception cref="InvalidDataException">The files contradict their format or each other.</exception>
    /// <exception cref="IOException">A file is not there or cannot be read.</exception>
    public static BitNetRunner Load(string path, BitNetRunnerOptions? options = null)
    {
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(path);
        return Load(checkpoint, options);
    }

    /// <summary>Loads a model from an open checkpoint, which may be disposed afterwards.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="options">How it is to run; null for the defaults.</param>
    /// <returns>The model, which the caller disposes.</returns>
    /// <exception cref="InvalidDataException">The files contradict their format or each other.</exception>
    public static BitNetRunner Load(BitNetCheckpoint checkpoint, BitNetRunnerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        options ??= new BitNetRunnerOptions();
        return new BitNetRunner(BitNetWeights.Read(checkpoint, options.CopiesWeights), options);
    }

    /// <summary>Starts an empty text.</summary>
    /// <param name="capacity">The most tokens it will have, at least 1; null: the model's
    /// <see cref="BitNetConfig.MaxPositionEmbeddings"/>. Memory is taken as it fills.</param>
    /// <returns>The sequence, which the caller disposes.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1, or more than any memory holds.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public BitNetSequence CreateSequence(int? capacity = null)
    {
        int positions = capacity ?? Config.MaxPositionEmbeddings;
        ArgumentOutOfRangeException.ThrowIfLessThan(positions, 1, nameof(capacity));
        Rent();
        try
        {
            EnsureRotary(positions);
            return new BitNetSequence(this, positions);
        }
        finally
        {
            Return();
        }
    }

    /// <summary>Makes room for computing steps.</summary>
    /// <param name="maxTokens">The most tokens of one step, of all its sequences together, at least 1. A prompt is computed
    /// fastest in steps of some hundreds; each token of room takes about 140 KB for a model of two billion weights.</param>
    /// <returns>The batch, which the caller disposes.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public BitNetBatch CreateBatch(int maxTokens = 256)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxTokens, 1);
        return new BitNetBatch(this, maxTokens);
    }

    /// <summary>Frees the weights, at the latest when running steps end.</summary>
    public void Dispose() => Weights.Dispose();

    internal void Rent() => Weights.Rent();

    internal void Return() => Weights.Return();

    /// <summary>The table for all positions of all sequences that exist.</summary>
    internal RotaryTable Rotary => rotary!;

    private void EnsureRotary(int positions)
    {
        lock (gate)
        {
            // A step that runs meanwhile keeps the table that it began with.
            if (rotary is null || rotary.Positions < positions)
                rotary = new RotaryTable(Math.Max(positions, Config.MaxPositionEmbeddings), Config.HeadDim, Config.RopeTheta);
        }
    }
}
