namespace BitLab.Models;

/// <summary>The learning rate, by the step of the training.</summary>
public sealed class LearningRateSchedule
{
    private readonly Func<long, double> at;

    private LearningRateSchedule(Func<long, double> at) => this.at = at;

    /// <summary>The same rate at each step.</summary>
    /// <param name="rate">Above 0.</param>
    /// <returns>The schedule.</returns>
    public static LearningRateSchedule Constant(double rate)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rate);
        return new(_ => rate);
    }

    /// <summary>A straight line from 0 to the peak, then half a cosine down to the last rate.</summary>
    /// <remarks>rate(s) = last + (peak - last) · (1 + cos(π · (s - warmup) / (steps - warmup))) / 2. Loshchilov and Hutter 2017,
    /// arXiv:1608.03983, without restarts.</remarks>
    /// <param name="peak">The highest rate.</param>
    /// <param name="steps">Steps of the whole training.</param>
    /// <param name="warmupSteps">Steps until the peak; the first has peak / warmupSteps. Default: 0.</param>
    /// <param name="last">The rate at the end. Default: 0.</param>
    /// <returns>The schedule.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A number is out of range.</exception>
    public static LearningRateSchedule Cosine(double peak, long steps, long warmupSteps = 0, double last = 0)
    {
        CheckWarmup(peak, steps, warmupSteps);
        return new(step => step < warmupSteps
            ? Warmup(peak, step, warmupSteps)
            : last + ((peak - last) * 0.5 * (1 + Math.Cos(Math.PI * Share(step - warmupSteps, steps - warmupSteps)))));
    }

    /// <summary>The two stages of BitNet's recipe: straight down from the first stage's rate, and from a lower one in the second;
    /// defaults are those of BitNet b1.58 2B4T.</summary>
    /// <remarks>Microsoft, "The Era of 1-bit LLMs: Training Tips, Code and FAQ", and arXiv:2504.12285: a high rate as long as
    /// trits flip, then a sudden fall. Weight decay ends with the first stage
    /// (<see cref="Layers.TrainingOptions.WeightDecaySteps"/>).</remarks>
    /// <param name="steps">Steps of the whole training.</param>
    /// <param name="warmupSteps">Steps until the first rate. Default: 0.</param>
    /// <param name="firstStart">The rate at the first stage's start.</param>
    /// <param name="firstEnd">The rate at the first stage's end.</param>
    /// <param name="secondStart">The rate at the second stage's start.</param>
    /// <param name="secondEnd">The rate at the end.</param>
    /// <param name="firstShare">The first stage's share of the steps, 0 to 1.</param>
    /// <returns>The schedule.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A number is out of range.</exception>
    public static LearningRateSchedule TwoStage(
        long steps, long warmupSteps = 0, double firstStart = 1.5e-3, double firstEnd = 8e-4, double secondStart = 5e-4,
        double secondEnd = 0, double firstShare = 0.5)
    {
        CheckWarmup(firstStart, steps, warmupSteps);
        ArgumentOutOfRangeException.ThrowIfNegative(firstShare);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(firstShare, 1);
        long second = Math.Max(warmupSteps, (long)(firstShare * steps));
        return new(step =>
            step < warmupSteps ? Warmup(firstStart, step, warmupSteps)
            : step < second ? firstStart + ((firstEnd - firstStart) * Share(step - warmupSteps, second - warmupSteps))
            : secondStart + ((secondEnd - secondStart) * Share(step - second, steps - second)));
    }

    /// <summary>A schedule of one's own.</summary>
    /// <param name="at">The rate at a step, which is 0 or more.</param>
    /// <returns>The schedule.</returns>
    public static LearningRateSchedule Of(Func<long, double> at)
    {
        ArgumentNullException.ThrowIfNull(at);
        return new(at);
    }

    /// <summary>The rate of a step.</summary>
    /// <param name="step">How many steps are done, 0 or more.</param>
    /// <returns>0 or more.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The step is negative.</exception>
    /// <exception cref="InvalidOperationException">A schedule of one's own gave a negative rate or NaN.</exception>
    public double At(long step)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        double rate = at(step);
        return rate >= 0 ? rate : throw new InvalidOperationException($"The learning rate of step {step} is {rate}.");
    }

    private static double Warmup(double peak, long step, long warmupSteps) => peak * (step + 1) / warmupSteps;

    private static double Share(long done, long all) => all <= 0 ? 1 : Math.Clamp((double)done / all, 0, 1);

    private static void CheckWarmup(double peak, long steps, long warmupSteps)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(peak);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(steps);
        ArgumentOutOfRangeException.ThrowIfNegative(warmupSteps);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(warmupSteps, steps);
    }
}
