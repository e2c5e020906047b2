namespace BitLab.Inference;

/// <summary>How a <see cref="TextGenerator"/> shares a model among its texts.</summary>
public sealed record TextGeneratorOptions
{
    private readonly int maxSequences = 8;
    private readonly int stepTokens = 256;
    private readonly int? contextTokens;

    /// <summary>The most texts in work at the same time, each with keys and values of its own; others wait. Default: 8.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int MaxSequences
    {
        get => maxSequences;
        init => maxSequences = AtLeastOne(value);
    }

    /// <summary>The most tokens of one step, at least as many as <see cref="MaxSequences"/> counts. A long prompt is computed in
    /// steps of this, and texts that are being generated wait so long for their next token. Default: 256.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int StepTokens
    {
        get => stepTokens;
        init => stepTokens = AtLeastOne(value);
    }

    /// <summary>The most tokens of a text, prompt included; null, the default: the model's
    /// <see cref="BitLab.Core.BitNetConfig.MaxPositionEmbeddings"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int? ContextTokens
    {
        get => contextTokens;
        init => contextTokens = value is int tokens ? AtLeastOne(tokens) : null;
    }

    /// <summary>Whether a text that begins as an earlier one did, such as the next question of a conversation, takes over its
    /// keys and values. The results are the same. Default: true.</summary>
    public bool ReusesPrefixes { get; init; } = true;

    private static int AtLeastOne(int value)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
        return value;
    }
}
