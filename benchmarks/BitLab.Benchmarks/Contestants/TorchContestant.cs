using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Benchmarks;

/// <summary>A contestant of tensors. To be cold, it has several weights and takes them in turn, so that together they do not
/// fit into a cache.</summary>
/// <typeparam name="T">What holds the weights.</typeparam>
/// <param name="name">What tables and plots call it.</param>
/// <param name="coldBytes">More bytes of weights than these are cycled through; 0: the same weights again and
/// again.</param>
internal abstract class TorchContestant<T>(string name, long coldBytes) : Contestant(name)
    where T : IDisposable
{
    private readonly List<T> cycle = [];
    private Shape shape;
    private Tensor? x;
    private int next;

    public override long WeightBytes => BytesOf(cycle[0]);

    public override void Prepare(Shape shape)
    {
        this.shape = shape;
        do
            cycle.Add(Create(shape));
        while (cycle.Count * WeightBytes <= coldBytes);
    }

    public override void SetTokens(int tokens)
    {
        x?.Dispose();
        x = Input(tokens, shape.K);
    }

    public override void Run(int iterations)
    {
        for (int i = 0; i < iterations; i++)
        {
            Multiply(x!, cycle[next]).Dispose();
            next = (next + 1) % cycle.Count;
        }
    }

    public override Product Compute()
    {
        using DisposeScope scope = NewDisposeScope();
        return new(Floats(x!), Floats(WeightsOf(cycle[0])), Floats(Multiply(x!, cycle[0])));

        static float[] Floats(Tensor tensor) => [.. tensor.to(ScalarType.Float32).contiguous().data<float>()];
    }

    public override void Dispose()
    {
        x?.Dispose();
        x = null;
        cycle.ForEach(weights => weights.Dispose());
        cycle.Clear();
        next = 0;
    }

    protected abstract T Create(Shape shape);

    protected abstract long BytesOf(T weights);

    /// <summary>(N, K), what the weights are worth.</summary>
    protected abstract Tensor WeightsOf(T weights);

    /// <summary>(M, K).</summary>
    protected abstract Tensor Input(long tokens, long columns);

    protected abstract Tensor Multiply(Tensor x, T weights);
}
