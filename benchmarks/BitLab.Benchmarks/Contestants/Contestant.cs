using TorchSharp;

namespace BitLab.Benchmarks;

/// <summary>One way to compute y = x · Wᵀ, to be timed beside the others.</summary>
/// <param name="name">What tables and plots call it.</param>
internal abstract class Contestant(string name) : IDisposable
{
    public string Name { get; } = name;

    /// <summary>The bytes of weights that one multiplication reads.</summary>
    public abstract long WeightBytes { get; }

    /// <summary>Makes random weights.</summary>
    public abstract void Prepare(Shape shape);

    /// <summary>Makes a random input of M tokens.</summary>
    public abstract void SetTokens(int tokens);

    /// <summary>How many threads the next runs may use.</summary>
    public virtual void SetThreads(int threads) => torch.set_num_threads(threads);

    /// <summary>Multiplies some times.</summary>
    public abstract void Run(int iterations);

    /// <summary>Multiplies once, for <see cref="SelfCheck"/>.</summary>
    public abstract Product Compute();

    /// <summary>Frees weights and input. It can be prepared again.</summary>
    public abstract void Dispose();
}

/// <summary>A multiplication, row by row, in floats: x (M, K), w (N, K), y (M, N).</summary>
internal sealed record Product(float[] X, float[] W, float[] Y);
