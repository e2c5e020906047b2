namespace BitLab.Core;

/// <summary>The nonlinearity of the gated feed-forward part.</summary>
public enum BitNetActivation
{
    /// <summary>max(x, 0)², <c>relu2</c> in config.json.</summary>
    Relu2,

    /// <summary>x · sigmoid(x), <c>silu</c> in config.json.</summary>
    Silu,
}

/// <summary>Which of Hugging Face's two linear layers a checkpoint is for. It decides what <c>weight_scale</c> means.</summary>
public enum BitNetLinearClass
{
    /// <summary><c>bitlinear</c>: trits are divided by <c>weight_scale</c>. What a file without the field means.</summary>
    BitLinear,

    /// <summary><c>autobitlinear</c>: trits are multiplied by <c>weight_scale</c>.</summary>
    AutoBitLinear,
}

/// <summary>What the weights of the linear layers are in a checkpoint.</summary>
public enum BitNetQuantizationMode
{
    /// <summary><c>offline</c>: ternary already.</summary>
    Offline,

    /// <summary><c>online</c>: float master weights, which every forward pass quantizes.</summary>
    Online,
}

/// <summary>The <c>quantization_config</c> of a BitNet checkpoint.</summary>
public sealed record BitNetQuantization
{
    /// <summary>What <c>weight_scale</c> means. Default, as in Hugging Face's class:
    /// <see cref="BitNetLinearClass.BitLinear"/>.</summary>
    public BitNetLinearClass LinearClass { get; init; } = BitNetLinearClass.BitLinear;

    /// <summary>Packed or master weights. Default: <see cref="BitNetQuantizationMode.Offline"/>.</summary>
    public BitNetQuantizationMode QuantizationMode { get; init; } = BitNetQuantizationMode.Offline;

    /// <summary>Whether each linear layer normalizes its input with weights of its own, <c>&lt;linear&gt;.rms_norm.weight</c>.
    /// Default: false.</summary>
    public bool UseRmsNorm { get; init; }

    /// <summary>The epsilon of those norms. Default: 1e-6.</summary>
    public float RmsNormEps { get; init; } = 1e-6f;

    /// <summary>Modules whose linear layers are floats. Default: none named; an <c>lm_head</c> is a float layer in any
    /// case.</summary>
    public IReadOnlyList<string> ModulesToNotConvert { get; init; } = [];

    /// <summary>Whether a linear layer is a float one: its path contains one of <see cref="ModulesToNotConvert"/>.</summary>
    internal bool Excepts(string name) => ModulesToNotConvert.Any(module => name.Contains(module, StringComparison.Ordinal));

    /// <inheritdoc/>
    public bool Equals(BitNetQuantization? other) =>
        other is not null && LinearClass == other.LinearClass && QuantizationMode == other.QuantizationMode
        && UseRmsNorm == other.UseRmsNorm && RmsNormEps.Equals(other.RmsNormEps)
        && ModulesToNotConvert.SequenceEqual(other.ModulesToNotConvert);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(LinearClass, QuantizationMode, UseRmsNorm, RmsNormEps);
}
