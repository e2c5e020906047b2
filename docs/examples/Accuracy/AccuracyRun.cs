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
    /// <summary>All runs of a task: for each seed and model the choice of the rate, then the run that is reported.</summary>
    public void Do(AccuracyTask task)
    {
        for (int seed = 0; seed < task.Seeds; seed++)
        {
            foreach (ModelKind model in task.Models)
                Result(task, Chosen(task, model, seed));
        }
    }

    /// <summary>The run of a model that is reported: the rate is the best on the validation part, by the seed's own split where
    /// each draws one.</summary>
    public Cell Chosen(AccuracyTask task, ModelKind model, int seed)
    {
        Result[] tried = Tried(task, model, seed);
        double best = task.Best(tried.Select(result => result.Score));
        return new Cell(task.Name, model, seed, Purpose.Final, tried.First(result => result.Score == best).Cell.Rate, task.Steps);
    }

    private Result[] Tried(AccuracyTask task, ModelKind model, int seed) =>
    [
        .. task.RatesOf(model).Select(rate => Result(
            task, new Cell(task.Name, model, task.IsResplit ? seed : 0, Purpose.Search, rate, task.SearchSteps))),
    ];

    private Result Result(AccuracyTask task, Cell cell) => results.Find(cell) ?? Train(task, cell);

    private Result Train(AccuracyTask task, Cell cell)
    {
        using DisposeScope scope = NewDisposeScope();
        nn.Module<Tensor, Tensor>? teacher = cell.Model == ModelKind.Distilled ? Teacher(task, cell) : null;
        var clock = Stopwatch.StartNew();
        random.manual_seed(cell.Seed);
        nn.Module<Tensor, Tensor> network = task.Create(Recipe.Of(cell.Model));
        if (teacher is not null)
            network.load_state_dict(teacher.state_dict());
        Training.Run(
            network, teacher, new TrainingPlan(cell.Steps, cell.Rate, task.WeightDecay), task.Batches(cell.Seed, cell.Purpose));
        if (cell.Model == ModelKind.FloatNormalized && task.Models.Contains(ModelKind.Distilled))
            network.save(results.WeightsOf(cell));
        // As users run it: packed weights alone.
        network.Deploy();
        double score;
        using (no_grad())
            score = task.Measure(network, cell.Seed, cell.Purpose);
        var result = new Result(cell, score, clock.Elapsed.TotalSeconds);
        results.Append(result);
        report(result);
        return result;
    }

    // The float control of the same seed and purpose, trained on the same samples.
    private nn.Module<Tensor, Tensor> Teacher(AccuracyTask task, Cell cell)
    {
        Cell control = Chosen(task, ModelKind.FloatNormalized, cell.Seed);
        if (cell.Purpose == Purpose.Search)
            control = control with { Purpose = Purpose.Search, Steps = task.SearchSteps };
        if (!File.Exists(results.WeightsOf(control)))
            Train(task, control);
        nn.Module<Tensor, Tensor> teacher = task.Create(Recipe.Of(ModelKind.FloatNormalized));
        teacher.load(results.WeightsOf(control));
        return teacher;
    }
}
