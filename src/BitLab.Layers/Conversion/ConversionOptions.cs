using BitLab.Core;

namespace BitLab.Layers;

/// <summary>What a conversion converts, and into what.</summary>
public sealed record ConversionOptions
{
    /// <summary>Every linear layer but the last.</summary>
    public static ConversionOptions Default { get; } = new();

    /// <summary>How the new layers quantize.</summary>
    public BitQuantConfig Config { get; init; } = BitQuantConfig.Default;

    /// <summary>Whether the new layers normalize their input by an <see cref="RMSNorm"/> first. That is one parameter more for
    /// each (key <c>rms_norm.weight</c>), which an optimizer made before does not know. Default: no.</summary>
    public bool SubLN { get; init; }

    /// <summary>Paths of modules to leave alone with all that is in them: <c>head</c>, <c>blocks.0</c>,
    /// <c>*.attention.*</c>. <c>*</c> stands for any characters, <c>?</c> for one.</summary>
    public IReadOnlyList<string> Skip { get; init; } = [];

    /// <summary>Types of modules to leave alone with all that is in them.</summary>
    public IReadOnlyList<Type> SkipTypes { get; init; } = [];

    /// <summary>Layers with fewer weights than this are left alone. Default: 0.</summary>
    public long MinWeights { get; init; }

    /// <summary>Whether to leave the first linear layer alone. Default: no.</summary>
    public bool KeepFirst { get; init; }

    /// <summary>Whether to leave the last linear layer alone, as language models do: what it computes is the answer itself, with
    /// no layer behind it to make up for the rounding. Default: yes.</summary>
    /// <remarks>First and last are meant in the order in which the model registers its modules; in what order they are
    /// called is not known before they are.</remarks>
    public bool KeepLast { get; init; } = true;
}
