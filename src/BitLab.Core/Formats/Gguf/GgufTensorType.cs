namespace BitLab.Core;

/// <summary>The types of tensors in GGUF files, by the numbers there.</summary>
/// <remarks>bitnet.cpp gave numbers to its own types that llama.cpp later gave to others: 36 to 39 mean what is said here only in
/// BitNet files (<see cref="GgufFile.HasBitNetTypes"/>), 39 is <see cref="MXFP4"/> elsewhere.</remarks>
public enum GgufTensorType
{
    /// <summary>A number that BitLab does not know.</summary>
    Unknown = -1,

    /// <summary>32-bit floats.</summary>
    F32 = 0,

    /// <summary>16-bit floats.</summary>
    F16 = 1,

    /// <summary>32 values of 4 bits.</summary>
    Q4_0 = 2,

    /// <summary>32 values of 4 bits with a minimum.</summary>
    Q4_1 = 3,

    /// <summary>32 values of 5 bits.</summary>
    Q5_0 = 6,

    /// <summary>32 values of 5 bits with a minimum.</summary>
    Q5_1 = 7,

    /// <summary>32 values of 8 bits.</summary>
    Q8_0 = 8,

    /// <summary>32 values of 8 bits with their sum.</summary>
    Q8_1 = 9,

    /// <summary>256 values of 2 bits.</summary>
    Q2_K = 10,

    /// <summary>256 values of 3 bits.</summary>
    Q3_K = 11,

    /// <summary>256 values of 4 bits.</summary>
    Q4_K = 12,

    /// <summary>256 values of 5 bits.</summary>
    Q5_K = 13,

    /// <summary>256 values of 6 bits.</summary>
    Q6_K = 14,

    /// <summary>256 values of 8 bits.</summary>
    Q8_K = 15,

    /// <summary>Signed bytes.</summary>
    I8 = 24,

    /// <summary>16-bit integers.</summary>
    I16 = 25,

    /// <summary>32-bit integers.</summary>
    I32 = 26,

    /// <summary>64-bit integers.</summary>
    I64 = 27,

    /// <summary>64-bit floats.</summary>
    F64 = 28,

    /// <summary>bfloat16.</summary>
    BF16 = 30,

    /// <summary>256 trits in 52 bytes, and a scale.</summary>
    TQ1_0 = 34,

    /// <summary>256 trits in 64 bytes, and a scale.</summary>
    TQ2_0 = 35,

    /// <summary>bitnet.cpp: 128 trits in 32 bytes; one scale behind all.</summary>
    I2_S = 36,

    /// <summary>bitnet.cpp: signed bytes with a scale.</summary>
    I8_S = 37,

    /// <summary>bitnet.cpp: trits in an order that depends on its build; not decoded.</summary>
    TL1 = 38,

    /// <summary>llama.cpp: 32 values of 4 bits.</summary>
    MXFP4 = 39,

    /// <summary>llama.cpp: 64 values of 4 bits.</summary>
    NVFP4 = 40,

    /// <summary>bitnet.cpp: trits in an order that depends on its build; not decoded. 39 in the file.</summary>
    TL2 = 1039,
}

/// <summary>What is known of the types.</summary>
public static class GgufTensorTypes
{
    /// <summary>The bytes of a tensor.</summary>
    /// <param name="type">Its type.</param>
    /// <param name="rowLength">Its first dimension in the file: the values of a row.</param>
    /// <param name="values">All its values.</param>
    /// <returns>How many, or null where BitLab does not know, or rows of this length cannot be.</returns>
    public static long? ByteCount(this GgufTensorType type, long rowLength, long values)
    {
        // The trits of all rows together, and 32 bytes for the scale.
        if (type == GgufTensorType.I2_S)
            return values % 4 == 0 ? (values / 4) + 32 : null;
        (int blockValues, int blockBytes) = Block(type);
        return blockBytes == 0 || rowLength % blockValues != 0 || values / blockValues > long.MaxValue / blockBytes
            ? null
            : values / blockValues * blockBytes;
    }

    internal static uint Id(this GgufTensorType type) => type == GgufTensorType.TL2 ? 39 : (uint)type;

    /// <summary>The type of a number.</summary>
    internal static GgufTensorType Of(uint id, bool inBitNetFile)
    {
        if (id is 36 or 37 or 38 && !inBitNetFile)
            return GgufTensorType.Unknown;
        if (id == 39 && inBitNetFile)
            return GgufTensorType.TL2;
        var type = (GgufTensorType)id;
        return id <= 40 && (Block(type).Bytes > 0 || type is GgufTensorType.I2_S or GgufTensorType.I8_S or GgufTensorType.TL1)
            ? type
            : GgufTensorType.Unknown;
    }

    internal static TensorEncoding Encoding(this GgufTensorType type) => type switch
    {
        GgufTensorType.F32 => TensorEncoding.F32,
        GgufTensorType.F16 => TensorEncoding.F16,
        GgufTensorType.BF16 => TensorEncoding.BF16,
        GgufTensorType.Q8_0 => TensorEncoding.Q8_0,
        GgufTensorType.TQ1_0 => TensorEncoding.TQ1_0,
        GgufTensorType.TQ2_0 => TensorEncoding.TQ2_0,
        GgufTensorType.I2_S => TensorEncoding.I2_S,
        _ => TensorEncoding.Other,
    };

    private static (int Values, int Bytes) Block(GgufTensorType type) => type switch
    {
        GgufTensorType.I8 => (1, 1),
        GgufTensorType.F16 or GgufTensorType.BF16 or GgufTensorType.I16 => (1, 2),
        GgufTensorType.F32 or GgufTensorType.I32 => (1, 4),
        GgufTensorType.F64 or GgufTensorType.I64 => (1, 8),
        GgufTensorType.Q4_0 => (32, 18),
        GgufTensorType.Q4_1 => (32, 20),
        GgufTensorType.Q5_0 => (32, 22),
        GgufTensorType.Q5_1 => (32, 24),
        GgufTensorType.Q8_0 => (32, 34),
        GgufTensorType.Q8_1 => (32, 36),
        GgufTensorType.Q2_K => (256, 84),
        GgufTensorType.Q3_K => (256, 110),
        GgufTensorType.Q4_K => (256, 144),
        GgufTensorType.Q5_K => (256, 176),
        GgufTensorType.Q6_K => (256, 210),
        GgufTensorType.Q8_K => (256, 292),
        GgufTensorType.TQ1_0 => (256, 54),
        GgufTensorType.TQ2_0 => (256, 66),
        GgufTensorType.MXFP4 => (32, 17),
        GgufTensorType.NVFP4 => (64, 36),
        _ => (1, 0),
    };
}
