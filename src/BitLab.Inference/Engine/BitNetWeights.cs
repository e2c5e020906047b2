using System.Text.Json;
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

    /// <summary>How activations are quantized; the weights' granularity is that of each matrix.</summary>
    public required BitQuantConfig Quantization { get; init; }

    public required DenseMatrix Embedding { get; init; }

    public required DenseMatrix Head { get; init; }

    public required FloatVector Norm { get; init; }

    public required TransformerLayer[] Layers { get; init; }

    /// <summary>The bytes of weights that one token of a decode step reads: all linear layers and the head.</summary>
    public long BytesPerToken => Head.ByteCount + Layers.Sum(layer => layer.Linears.Sum(linear => linear.ByteCount));

    /// <param name="checkpoint">Where from.</param>
    /// <param name="copies">Whether to copy mapped weights into memory.</param>
    public static BitNetWeights Read(BitNetCheckpoint checkpoint, bool copies)
    {
        BitNetConfig config = checkpoint.Config;
        checkpoint.Check();
        BitQuantConfig quantization = ReadQuantization(checkpoint.Path);
        using WeightArena? arena = copies ? new WeightArena(BytesOf(checkpoint)) : null;
        var owned = new List<IDisposable>();
        try
        {
            DenseMatrix embedding = Matrix("model.embed_tokens.weight");
            var weights = new BitNetWeights(config)
            {
                Quantization = quantization,
                Embedding = embedding,
                Head = config.TieWordEmbeddings
                    ? embedding
                    : Matrix("lm_head.weight"),
                Norm = Own(new FloatVector(checkpoint.ReadFloats("model.norm.weight"))),
                Layers = [.. Enumerable.Range(0, config.NumHiddenLayers).Select(i => Own(TransformerLayer.Read(checkpoint, i, quantization, arena)))],
            };
            weights.owned.AddRange(owned);
            return weights;
        }
        catch
        {
            owned.ForEach(item => item.Dispose());
            throw;
        }

        DenseMatrix Matrix(string name)
        {
            DenseMatrix matrix = DenseMatrix.Read(checkpoint, name, config.VocabSize, config.HiddenSize);
            return Own(arena is null ? matrix : arena.Move(matrix));
        }

        T Own<T>(T item)
            where T : IDisposable
        {
            owned.Add(item);
            return item;
        }
    }

    // Of all matrices, as they are kept.
    private static long BytesOf(BitNetCheckpoint checkpoint)
    {
        long sum = 0;
        foreach (BitNetTensor tensor in checkpoint.Config.Tensors())
        {
            if (tensor.Shape.Count != 2)
                continue;
            int rows = (int)tensor.Shape[0], columns = (int)tensor.Shape[1];
            TensorEncoding encoding = checkpoint.Tensor(tensor.Name).Encoding;
            bool isFloat = !tensor.IsLinear || checkpoint.LinearKind(tensor.Name) == BitNetLinearKind.Float;
            sum += isFloat
                ? WeightArena.Room((long)rows * columns * (encoding is TensorEncoding.F16 or TensorEncoding.BF16 ? sizeof(ushort) : sizeof(float)))
                : WeightArena.Room(PanelLayout.ByteCount(
                    rows, columns, encoding == TensorEncoding.DensePanels ? WeightPacking.Dense : WeightPacking.TwoBit))
                    + WeightArena.Room((long)rows * sizeof(float));
        }
        return sum;
    }

    // What BitLab.Models writes beside the fields that others know.
    private static BitQuantConfig ReadQuantization(string path)
    {
        string config = Path.Combine(path, "config.json");
        BitQuantConfig quantization = !File.Exists(config) ? BitQuantConfig.Default : JsonFile.Read(
            config,
            root => root.TryGetProperty("quant_config", out JsonElement element) ? BitQuantConfig.FromJson(element) : BitQuantConfig.Default);
        return quantization is { ActivationDtype: ActivationDtype.Int8, ActivationGranularity: Granularity.PerTensor }
            ? throw new InvalidDataException(
                $"'{config}': activations have one range for the tensor, so that a token's results depend on the others of its step. "
                + "Text is generated with a range for each token.")
            : quantization;
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
