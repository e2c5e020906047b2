namespace BitLab.Inference;

/// <summary>What a number in memory is.</summary>
internal enum ElementType
{
    /// <summary>32-bit float.</summary>
    Float32 = 0,

    /// <summary>16-bit float.</summary>
    Float16 = 1,

    /// <summary>The upper half of a 32-bit float.</summary>
    BFloat16 = 2,
}

/// <summary>Sizes of <see cref="ElementType"/>.</summary>
internal static class ElementTypes
{
    public static int Bytes(this ElementType type) => type == ElementType.Float32 ? 4 : 2;
}
