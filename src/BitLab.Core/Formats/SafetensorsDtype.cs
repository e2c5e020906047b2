namespace BitLab.Core;

/// <summary>The element types that BitLab reads and writes in safetensors files, by their names there.</summary>
public enum SafetensorsDtype
{
    /// <summary>32-bit float.</summary>
    F32,

    /// <summary>16-bit float.</summary>
    F16,

    /// <summary>bfloat16.</summary>
    BF16,

    /// <summary>64-bit float.</summary>
    F64,

    /// <summary>Signed byte.</summary>
    I8,

    /// <summary>Unsigned byte.</summary>
    U8,

    /// <summary>16-bit integer.</summary>
    I16,

    /// <summary>32-bit integer.</summary>
    I32,

    /// <summary>64-bit integer.</summary>
    I64,

    /// <summary>A byte that is 0 or 1.</summary>
    BOOL,
}

/// <summary>Sizes of element types.</summary>
public static class SafetensorsDtypes
{
    /// <summary>The bytes of one element.</summary>
    /// <param name="dtype">The type.</param>
    /// <returns>1, 2, 4 or 8.</returns>
    public static int ElementBytes(this SafetensorsDtype dtype) => dtype switch
    {
        SafetensorsDtype.I8 or SafetensorsDtype.U8 or SafetensorsDtype.BOOL => 1,
        SafetensorsDtype.F16 or SafetensorsDtype.BF16 or SafetensorsDtype.I16 => 2,
        SafetensorsDtype.F32 or SafetensorsDtype.I32 => 4,
        _ => 8,
    };
}
