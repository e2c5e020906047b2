namespace BitLab.Core;

/// <summary>How a checkpoint holds a tensor's values, whichever the file format.</summary>
public enum TensorEncoding
{
    /// <summary>32-bit floats.</summary>
    F32,

    /// <summary>16-bit floats.</summary>
    F16,

    /// <summary>bfloat16.</summary>
    BF16,

    /// <summary>Blocks of 32 signed bytes and a 16-bit float scale.</summary>
    Q8_0,

    /// <summary>Hugging Face's packed trits: a byte holds four rows a quarter of the matrix apart.</summary>
    HuggingFace,

    /// <summary>bitnet.cpp's packed trits: 128 in 32 bytes, one float scale behind them all.</summary>
    I2_S,

    /// <summary>llama.cpp's packed trits, five a byte: blocks of 256 with a 16-bit float scale.</summary>
    TQ1_0,

    /// <summary>llama.cpp's packed trits, four a byte: blocks of 256 with a 16-bit float scale.</summary>
    TQ2_0,

    /// <summary>BitLab's panels, two bits a trit: multiplied where they lie.</summary>
    Panels,

    /// <summary>BitLab's panels in the dense form, 1.6 bits a trit.</summary>
    DensePanels,

    /// <summary>Something that BitLab does not decode.</summary>
    Other,
}
