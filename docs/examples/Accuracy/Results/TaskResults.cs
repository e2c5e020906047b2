using Accuracy.Networks;
using Accuracy.Tasks;

namespace Accuracy.Results;

/// <summary>What is known of one task.</summary>
internal sealed class TaskResults(AccuracyTask task, IEnumerable<Result> results)
{
    private readonly Result[] runs = [.. results.Where(result => result.Cell.Task == task.Name)];

    public AccuracyTask Task => task;

    /// <summary>The run whose learning rate is the best on the validation part, the smallest of equals; null while none was
    /// tried. Where all seeds share a split, the first one's is everyone's.</summary>
    public Result? BestTried(ModelKind model, int seed)
    {
        double[] rates = task.RatesOf(model);
        Result[] tried =
        [
            .. runs.Where(result => result.Cell.Model == model && result.Cell.Purpose == Purpose.Search
                && result.Cell.Steps == task.SearchSteps && result.Cell.Seed == (task.IsResplit ? seed : 0)
                && rates.Contains(result.Cell.Rate)),
        ];
        return tried.OrderBy(result => result.Cell.Rate).MinBy(result => task.IsBits ? result.Score : -result.Score);
    }

    /// <summary>The seeds that all models have done, in order: only these are compared.</summary>
    public int[] Seeds =>
    [
        .. Enumerable.Range(0, task.Seeds)
            .Where(seed => task.Models.All(model => Final(model).Any(result => result.Cell.Seed == seed))),
    ];

    /// <summary>The scores of a model, a seed each.</summary>
    public Sample Scores(ModelKind model)
    {
        int[] seeds = Seeds;
        return new Sample([.. seeds.Select(seed => Final(model).First(result => result.Cell.Seed == seed).Score)]);
    }

    /// <summary>The float network whose mean is better.</summary>
    public ModelKind BetterFloat =>
        task.Models.Where(model => model is ModelKind.Float or ModelKind.FloatNormalized)
            .OrderBy(model => Scores(model).Mean * (task.IsBits ? 1 : -1)).First();

    /// <summary>By how much a ternary network is worse than the better float one, seed by seed: points of accuracy, or percent
    /// of its bits.</summary>
    public Sample Gap(ModelKind ternary)
    {
        Sample control = Scores(BetterFloat), mine = Scores(ternary);
        return task.IsBits
            ? new Sample([.. mine.Values.Zip(control.Values, (m, c) => 100 * ((m / c) - 1))])
            : (control - mine) * 100;
    }

    /// <summary>The learning rates that were chosen, without repetition.</summary>
    public double[] ChosenRates(ModelKind model) => [.. Final(model).Select(result => result.Cell.Rate).Distinct().Order()];

    /// <summary>Of a run that is reported.</summary>
    public double MeanSeconds(ModelKind model) => Final(model).Select(result => result.Seconds).DefaultIfEmpty().Average();

    /// <summary>Of all runs, those that chose the rate too.</summary>
    public double TotalSeconds => runs.Sum(result => result.Seconds);

    private IEnumerable<Result> Final(ModelKind model) => runs.Where(result =>
        result.Cell.Model == model && result.Cell.Purpose == Purpose.Final && result.Cell.Steps == task.Steps
        && result.Cell.Rate == BestTried(model, result.Cell.Seed)?.Cell.Rate);
}
