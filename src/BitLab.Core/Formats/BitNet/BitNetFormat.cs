namespace BitLab.Core;

/// <summary>The forms in which a BitNet model is written.</summary>
public enum BitNetFormat
{
    /// <summary>BitLab's own: a folder whose safetensors file holds panels at multiples of 64 bytes, which are mapped and multiplied where
    /// they lie.</summary>
    BitLab,

    /// <summary>The same with panels in the dense form, 1.6 bits a trit.</summary>
    BitLabDense,

    /// <summary>Hugging Face's: a folder with packed weights and their scale (<c>autobitlinear</c>, <c>offline</c>).</summary>
    HuggingFace,

    /// <summary>The same with the inverse of the scale (<c>bitlinear</c>), as the first checkpoints had it.</summary>
    HuggingFaceBitLinear,

    /// <summary>Hugging Face's master weights in bfloat16 (<c>autobitlinear</c>, <c>online</c>), to train on.</summary>
    HuggingFaceMaster,

    /// <summary>A GGUF file of I2_S, for bitnet.cpp.</summary>
    GgufI2S,

    /// <summary>A GGUF file of TQ2_0, for llama.cpp. The scale is rounded to 16 bits.</summary>
    GgufTQ2,

    /// <summary>A GGUF file of TQ1_0, for llama.cpp. The scale is rounded to 16 bits.</summary>
    GgufTQ1,
}
