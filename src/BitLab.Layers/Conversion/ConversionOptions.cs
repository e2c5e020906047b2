using BitLab.Core;

namespace BitLab.Layers;

/// <summary>What a conversion converts, and into what.</summary>
public sealed record ConversionOptions
{
    /// <summary>Every linear layer but the last, no convolution.</summary>
    public static ConversionOptions Default { get; } = new();

    /// <summary>How the new layers quantize.</summary>
    public BitQuantConfig Config { get; init; } = BitQuantConfig.Default;

    /// <summary>Whether the new layers normalize their input by an <see cref="RMSNorm"/> first. That is one parameter more for
    /// each (key <c>rms_norm.weight</c>), which an optimizer made before does not know. Default: no.</summary>
    public bool SubLN { get; init; }

    /// <summary>Whether <c>Conv1d</c> and <c>Conv2d</c> become <see cref="BitConv1d"/> and <see cref="BitConv2d"/> too. Default:
    /// no. Depthwise convolutions become slower than float by it.</summary>
    public bool Convolutions { get; init; }

    /// <summary>Paths of modules to leave alone with all that is in them: <c>head</c>, <c>blocks.0</c>,
    /// <c>*.attention.*</c>. <c>*</c> stands for any characters, <c>?</c> for one.</summary>
    public IReadOnlyList<string> Skip { get; init; } = [];

    /// <summary>Types of modules to leave alone with all that is in them.</summary>
    public IReadOnlyList<Type> SkipTypes { get; init; } = [];

    /// <summary>Layers with fewer weights than this are left alone. Default: 0.</summary>
    public long MinWeights { get; init; }

    /// <summary>Whether to leave the first layer alone. Default: no.</summary>
    public bool KeepFirst { get; init; }

    /// <summary>Whether to leave the last layer alone, as language models do: what it computes is the answer itself, with
    /// no layer behind it to make up for the rounding. Default: yes.</summary>
    /// <remarks>First and last are meant among linear layers, and convolutions where they are converted, in the order in which
    /// the model registers its modules; in what order they are called is not known before they are.</remarks>
    public bool KeepLast { get; init; } = true;
}
