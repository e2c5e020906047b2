namespace BitLab.Inference;

/// <summary>Why a text ended.</summary>
public enum FinishReason
{
    /// <summary>The model said so, by a token that ends a text.</summary>
    EndOfText,

    /// <summary>A stop string came.</summary>
    StopString,

    /// <summary>The most tokens that were asked for, or that the sequence has room for, are there.</summary>
    Length,
}
