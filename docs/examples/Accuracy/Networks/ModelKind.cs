namespace Accuracy.Networks;

/// <summary>What is compared.</summary>
internal enum ModelKind
{
    /// <summary>The float network as it is usually built.</summary>
    Float,

    /// <summary>The float network with the norms of the ternary one: the honest control.</summary>
    FloatNormalized,

    /// <summary>Ternary, trained from scratch.</summary>
    Ternary,

    /// <summary>The trained float network that is better on the validation part, made ternary and distilled from itself.</summary>
    Distilled,
}
