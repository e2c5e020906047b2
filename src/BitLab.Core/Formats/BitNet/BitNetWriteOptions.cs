namespace BitLab.Core;

/// <summary>How a model is written.</summary>
public sealed record BitNetWriteOptions
{
    /// <summary>What embeddings, norms and other floats are held as; null for what the source has. GGUF files hold vectors as
    /// <see cref="TensorEncoding.F32"/> in any case, and safetensors files have no <see cref="TensorEncoding.Q8_0"/>.</summary>
    public TensorEncoding? Floats { get; init; }

    /// <summary>What the scales of Hugging Face's packed form are held as. Default: <see cref="TensorEncoding.BF16"/>, as in the published
    /// checkpoints, which rounds them; <see cref="TensorEncoding.F32"/> keeps them.</summary>
    public TensorEncoding Scales { get; init; } = TensorEncoding.BF16;

    /// <summary>The most bytes of one safetensors file; a larger model becomes several and an index. Default: no bound.</summary>
    public long MaxFileBytes { get; init; } = long.MaxValue;

    /// <summary>Whether a model whose config says nothing of BitNet is made ternary. Default: false, an error.</summary>
    public bool Quantize { get; init; }

    /// <summary>The model's name in GGUF files; null for the target's.</summary>
    public string? Name { get; init; }

    /// <summary>Metadata of GGUF files beyond the model's own: the tokenizer's.</summary>
    public IReadOnlyList<KeyValuePair<string, GgufValue>> Metadata { get; init; } = [];

    /// <summary>Is told each tensor before it is written: its name, how many there were before it, and how many there are.</summary>
    public Action<string, int, int>? Progress { get; init; }

    internal void Check()
    {
        if (Floats is TensorEncoding floats && !FloatDecoding.Decodes(floats))
            throw new ArgumentException($"{nameof(Floats)}: {floats} holds no floats.");
        if (Scales is not (TensorEncoding.F32 or TensorEncoding.BF16 or TensorEncoding.F16))
            throw new ArgumentException($"{nameof(Scales)}: {Scales} holds no single float.");
        if (MaxFileBytes < 1)
            throw new ArgumentException($"{nameof(MaxFileBytes)} is {MaxFileBytes}.");
    }
}
