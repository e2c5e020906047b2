namespace BitLab.Inference;

/// <summary>How the next token is chosen, and when a text ends. The default is greedy: always the likeliest token, of equal
/// ones that with the lowest number.</summary>
/// <remarks>The steps in their order: the repetition penalty, the temperature, <see cref="TopK"/>, <see cref="TopP"/>,
/// <see cref="MinP"/>, then one draw. With equal logits and an equal seed the text is the same on every machine.</remarks>
public sealed record GenerationOptions
{
    private readonly int maxTokens = 256;
    private readonly float temperature;
    private readonly int topK;
    private readonly float topP = 1;
    private readonly float minP;
    private readonly float repetitionPenalty = 1;
    private readonly int repetitionWindow;

    /// <summary>The most tokens to generate, at least 1. The sequence's room may end a text before. Default: 256.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int MaxTokens
    {
        get => maxTokens;
        init => maxTokens = Require(value, value >= 1, "at least 1");
    }

    /// <summary>What logits are divided by before they become probabilities; 0, the default, means greedy, and the other
    /// choices are then without effect.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative or not finite.</exception>
    public float Temperature
    {
        get => temperature;
        init => temperature = Require(value, value >= 0 && float.IsFinite(value), "0 or more");
    }

    /// <summary>Draws among so many of the likeliest tokens only; 0, the default, among all.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int TopK
    {
        get => topK;
        init => topK = Require(value, value >= 0, "0 or more");
    }

    /// <summary>Draws among the fewest likeliest tokens whose probabilities sum to at least this, more than 0; 1, the default, is
    /// no limit.</summary>
    /// <remarks>Holtzman et al. 2019, arXiv:1904.09751.</remarks>
    /// <exception cref="ArgumentOutOfRangeException">0 or less, or more than 1.</exception>
    public float TopP
    {
        get => topP;
        init => topP = Require(value, value is > 0 and <= 1, "more than 0 and at most 1");
    }

    /// <summary>Draws among tokens that are at least this times as likely as the likeliest; 0, the default, is no limit.</summary>
    /// <remarks>Nguyen et al. 2024, arXiv:2407.01082.</remarks>
    /// <exception cref="ArgumentOutOfRangeException">Negative or more than 1.</exception>
    public float MinP
    {
        get => minP;
        init => minP = Require(value, value is >= 0 and <= 1, "0 to 1");
    }

    /// <summary>What the logits of tokens are divided by (positive ones) or multiplied by (negative ones) that the text
    /// has already, prompt included; 1, the default, changes nothing.</summary>
    /// <remarks>Keskar et al. 2019, arXiv:1909.05858.</remarks>
    /// <exception cref="ArgumentOutOfRangeException">0 or less, or not finite.</exception>
    public float RepetitionPenalty
    {
        get => repetitionPenalty;
        init => repetitionPenalty = Require(value, value > 0 && float.IsFinite(value), "more than 0");
    }

    /// <summary>Of how many of the last tokens <see cref="RepetitionPenalty"/> knows; 0, the default, of all.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int RepetitionWindow
    {
        get => repetitionWindow;
        init => repetitionWindow = Require(value, value >= 0, "0 or more");
    }

    /// <summary>Where the random numbers begin; null, the default: at another place each time.</summary>
    public long? Seed { get; init; }

    /// <summary>Texts that end the generation; they and what is behind them are left out. Default: none.</summary>
    public IReadOnlyList<string> StopStrings { get; init; } = [];

    /// <summary>Tokens that end the generation, beside those of the model's config. They are no part of the text. Default:
    /// none.</summary>
    public IReadOnlyList<int> StopTokens { get; init; } = [];

    /// <summary>Whether to go on behind the tokens that end a text, for measurements. Default: false.</summary>
    public bool IgnoreEndOfText { get; init; }

    private static T Require<T>(T value, bool isSo, string expected) =>
        isSo ? value : throw new ArgumentOutOfRangeException(nameof(value), value, $"Expected {expected}.");
}
