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

    /// <summary>Whether weights that could be used where the file is mapped are copied into memory, large pages where the system
    /// has them. Reading them is then a little faster, and with it each step; loading takes longer by reading them once,
    /// the memory is needed beside the system's cache of the file, and processes do not share it. Default: false.</summary>
    public bool CopiesWeights { get; init; }
}
