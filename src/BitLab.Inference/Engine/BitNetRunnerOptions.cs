namespace BitLab.Inference;

/// <summary>What the keys and values of past tokens are kept as.</summary>
public enum KvCacheType
{
    /// <summary>32-bit floats: exact.</summary>
    Float32,

    /// <summary>16-bit floats: half the memory, and half of what a step reads of it. A key or value changes by at most
    /// 2^-11 of itself.</summary>
    Float16,
}

/// <summary>How a model runs.</summary>
public sealed record BitNetRunnerOptions
{
    /// <summary>What keys and values are kept as. Default: <see cref="KvCacheType.Float32"/>.</summary>
    public KvCacheType KvCache { get; init; } = KvCacheType.Float32;
}
