using BitLab.Core;

namespace BitLab.Inference;

/// <summary>All weights of a model. They live until the runner is disposed and no batch computes with them any
/// more.</summary>
internal sealed class BitNetWeights : IDisposable
{
    private readonly List<IDisposable> owned = [];
    private int leases = 1;
    private int isDisposed;

    private BitNetWeights(BitNetConfig config) => Config = config;

    public BitNetConfig Config { get; }

    public required DenseMatrix Embedding { get; init; }

    public required DenseMatrix Head { get; init; }

    public required FloatVector Norm { get; init; }

    public required TransformerLayer[] Layers { get; init; }

    /// <summary>The bytes of weights that one token of a decode step reads: all linear layers and the head.</summary>
    public long BytesPerToken => Head.ByteCount + Layers.Sum(layer => layer.Linears.Sum(linear => linear.ByteCount));

    public static BitNetWeights Read(BitNetCheckpoint checkpoint)
    {
        BitNetConfig config = checkpoint.Config;
        checkpoint.Check();
        var owned = new List<IDisposable>();
        try
        {
            DenseMatrix embedding = Own(
                DenseMatrix.Read(checkpoint, "model.embed_tokens.weight", config.VocabSize, config.HiddenSize));
            var weights = new BitNetWeights(config)
            {
                Embedding = embedding,
                Head = config.TieWordEmbeddings
                    ? embedding
                    : Own(DenseMatrix.Read(checkpoint, "lm_head.weight", config.VocabSize, config.HiddenSize)),
                Norm = Own(new FloatVector(checkpoint.ReadFloats("model.norm.weight"))),
                Layers = [.. Enumerable.Range(0, config.NumHiddenLayers).Select(i => Own(TransformerLayer.Read(checkpoint, i)))],
            };
            weights.owned.AddRange(owned);
            return weights;
        }
        catch
        {
            owned.ForEach(item => item.Dispose());
            throw;
        }

        T Own<T>(T item)
            where T : IDisposable
        {
            owned.Add(item);
            return item;
        }
    }

    /// <summary>Keeps the weights until <see cref="Return"/>.</summary>
    public void Rent()
    {
        for (int seen = Volatile.Read(ref leases); ; seen = Volatile.Read(ref leases))
        {
            ObjectDisposedException.ThrowIf(seen == 0 || Volatile.Read(ref isDisposed) != 0, typeof(BitNetRunner));
            if (Interlocked.CompareExchange(ref leases, seen + 1, seen) == seen)
                return;
        }
    }

    public void Return()
    {
        if (Interlocked.Decrement(ref leases) == 0)
            owned.ForEach(item => item.Dispose());
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref isDisposed, 1) == 0)
            Return();
    }
}
