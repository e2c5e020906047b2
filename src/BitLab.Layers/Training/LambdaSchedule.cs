namespace BitLab.Layers;

/// <summary>How far layers quantize, by the step of the training: a float model that is to become ternary is led there, instead
/// of losing what it knows in the first step.</summary>
/// <remarks>Hugging Face, "Fine-tuning LLMs to 1.58bit: extreme quantization made easy",
/// huggingface.co/blog/1_58_llm_extreme_quantization.</remarks>
public sealed class LambdaSchedule
{
    private readonly Func<long, float> at;

    private LambdaSchedule(Func<long, float> at) => this.at = at;

    /// <summary>1 from the first step on: no warm-up.</summary>
    public static LambdaSchedule Full { get; } = new(_ => 1);

    /// <summary>min(step / <paramref name="warmupSteps"/>, 1).</summary>
    /// <param name="warmupSteps">At which step 1 is reached; 0: from the first on.</param>
    /// <returns>The schedule.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The number is negative.</exception>
    public static LambdaSchedule Linear(long warmupSteps)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(warmupSteps);
        return new(step => step >= warmupSteps ? 1 : (float)((double)step / warmupSteps));
    }

    /// <summary>A schedule of one's own.</summary>
    /// <param name="at">Lambda, 0 to 1, at a step, which is 0 or more.</param>
    /// <returns>The schedule.</returns>
    public static LambdaSchedule Of(Func<long, float> at)
    {
        ArgumentNullException.ThrowIfNull(at);
        return new(at);
    }

    /// <summary>Lambda at a step.</summary>
    /// <param name="step">How many steps are done, 0 or more.</param>
    /// <returns>0 to 1.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The step is negative, or a schedule of one's own left 0 to 1.</exception>
    public float At(long step)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        return StraightThrough.CheckLambda(at(step));
    }
}
