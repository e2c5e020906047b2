namespace BitLab.Benchmarks;

/// <summary>The weights of a layer: N outputs, K inputs.</summary>
public readonly record struct Shape(int K, int N)
{
    public long Weights => (long)K * N;

    public override string ToString() => $"{K} × {N}";
}
