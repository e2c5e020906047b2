using System.Diagnostics;
using Accuracy.Networks;
using Accuracy.Results;
using Accuracy.Tasks;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace Accuracy;

/// <summary>Does what the results file does not hold yet.</summary>
internal sealed class AccuracyRun(ResultsFile results, Action<Result> report)
{
    /// <summary>All runs of a task, or of its first seeds: for each seed and model the choice of the rate, then the run that is
    /// reported.</summary>
    public void Do(AccuracyTask task, int seeds)
    {
        for (int seed = 0; seed < Math.Min(seeds, task.Seeds); seed++)
        {
            foreach (ModelKind model in task.Models)
                Result(task, Chosen(task, model, seed));
        }
    }

    // The run of a model that is reported, after those that choose its rate.
    private Cell Chosen(AccuracyTask task, ModelKind model, int seed)
    {
        foreach (double rate in task.RatesOf(model))
            Result(task, new Cell(task.Name, model, task.IsResplit ? seed : 0, Purpose.Search, rate, task.SearchSteps));
        double chosen = new TaskResults(task, results.Read()).BestTried(model, seed)!.Cell.Rate;
        return new Cell(task.Name, model, seed, Purpose.Final, chosen, task.Steps);
    }

    private Result Result(AccuracyTask task, Cell cell) => results.Find(cell) ?? Train(task, cell);

    private Result Train(AccuracyTask task, Cell cell)
    {
        using DisposeScope scope = NewDisposeScope();
        Cell? control = cell.Model == ModelKind.Distilled ? Control(task, cell) : null;
        var clock = Stopwatch.StartNew();
        random.manual_seed(cell.Seed);
        nn.Module<Tensor, Tensor> network = task.Create(Recipe.Of(control?.Model ?? cell.Model));
        nn.Module<Tensor, Tensor>? teacher = null;
        if (control is not null)
        {
            teacher = task.Create(Recipe.Of(control.Model));
            teacher.load(results.WeightsOf(control));
            network.load(results.WeightsOf(control));
            network.ConvertToBitLinear(task.Conversion);
        }
        Training.Run(
            network, teacher, new TrainingPlan(cell.Steps, cell.Rate, task.WeightDecay), task.Batches(cell.Seed, cell.Purpose));
        if (cell.Model is ModelKind.Float or ModelKind.FloatNormalized)
            network.save(results.WeightsOf(cell));
        // As users run it: packed weights alone.
        network.Deploy();
        double score;
        using (no_grad())
            score = task.Measure(network, cell.Seed, cell.Purpose);
        var result = new Result(cell, score, clock.Elapsed.TotalSeconds);
        if (results.Find(cell) is null)
            results.Append(result);
        report(result);
        return result;
    }

    // The float network that is converted: the better one on the validation part, of the same seed, which has not seen what is
    // measured.
    private Cell Control(AccuracyTask task, Cell cell)
    {
        (Cell plain, Cell normalized) = (Chosen(task, ModelKind.Float, cell.Seed), Chosen(task, ModelKind.FloatNormalized, cell.Seed));
        var known = new TaskResults(task, results.Read());
        double difference = known.BestTried(plain.Model, cell.Seed)!.Score - known.BestTried(normalized.Model, cell.Seed)!.Score;
        Cell control = (task.IsBits ? difference < 0 : difference > 0) ? plain : normalized;
        if (cell.Purpose == Purpose.Search && task.TrainsOnValidation)
            control = control with { Purpose = Purpose.Search, Steps = task.SearchSteps };
        if (!File.Exists(results.WeightsOf(control)))
            Train(task, control);
        return control;
    }
}
