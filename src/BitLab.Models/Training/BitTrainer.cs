using System.Diagnostics;
using BitLab.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>Trains a model, ternary or not, by AdamW: batches, learning rate, warm-up of the quantization, a teacher, evaluations,
/// an early end, checkpoints.</summary>
/// <remarks>
/// <para>A training that goes on from a checkpoint ends with the same weights, bit for bit, as one that was never
/// interrupted, on the same machine with the same number of threads: the checkpoint holds the weights, the best ones, AdamW's
/// moments, the state of LibTorch's random numbers, and where in the data it is.</para>
/// <para>Random numbers are LibTorch's global ones (dropout) and those that the batches come from; seed them yourself.</para>
/// <para>What happens can be followed by <c>System.Diagnostics.Metrics</c> under <see cref="MeterName"/>.</para>
/// </remarks>
public sealed class BitTrainer : IDisposable
{
    /// <summary>The name of the meter: "BitLab.Training".</summary>
    public const string MeterName = "BitLab.Training";

    private const double DefaultRate = 1e-3, DefaultWarmupShare = 0.05;

    private readonly nn.Module<Tensor, Tensor> model;
    private readonly Func<long, IEnumerable<Batch>> epochs;
    private readonly BitTrainerOptions options;
    private readonly LearningRateSchedule learningRate;
    private readonly (string Name, Parameter Value)[] parameters;
    private readonly AdamW optimizer;
    private readonly TrainingSchedule schedule;
    private readonly Func<Tensor, Tensor, Tensor> lossOf;
    private TrainingState state = new();

    /// <summary>Prepares a training from its first step.</summary>
    /// <param name="model">What to train. It stays the caller's.</param>
    /// <param name="epochs">The batches of an epoch by its number, from 0; the same for the same number. See
    /// <see cref="TensorBatches.Epoch"/>.</param>
    /// <param name="options">How.</param>
    /// <exception cref="ArgumentException">The model has no parameter that trains, or a deployed layer.</exception>
    public BitTrainer(nn.Module<Tensor, Tensor> model, Func<long, IEnumerable<Batch>> epochs, BitTrainerOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(epochs);
        ArgumentNullException.ThrowIfNull(options);
        if (BitModules.NamedLayers(model).FirstOrDefault(named => named.Layer.IsDeployed) is (string path, not null))
            throw new ArgumentException($"'{path}' is deployed and has no weights to train.", nameof(model));
        parameters = [.. model.named_parameters().Where(named => named.parameter.requires_grad)];
        if (parameters.Length == 0)
            throw new ArgumentException("The model has no parameter that trains.", nameof(model));
        (this.model, this.epochs, this.options) = (model, epochs, options);
        learningRate = options.LearningRate
            ?? LearningRateSchedule.Cosine(DefaultRate, options.Steps, (long)(DefaultWarmupShare * options.Steps));
        lossOf = options.Loss ?? Evaluation.CrossEntropy;
        optimizer = optim.AdamW(
            [Group(isMatrix: true, options.WeightDecay), Group(isMatrix: false, 0)],
            learningRate.At(0), options.Beta1, options.Beta2, weight_decay: options.WeightDecay);
        schedule = new TrainingSchedule(model, options.Ternary, optimizer);
    }

    /// <summary>Steps that are done.</summary>
    public long Steps => state.Step;

    /// <summary>The epoch of the next step.</summary>
    public long Epoch => state.Epoch;

    /// <summary>The learning rate of the next step.</summary>
    public double LearningRate => learningRate.At(state.Step);

    /// <summary>How far layers quantize in the next step.</summary>
    public float Lambda => schedule.Lambda;

    /// <summary>The best evaluation until now, or null.</summary>
    public Evaluation? Best => state.Best;

    /// <summary>Trains to the end, from where it is. The model is in eval mode then.</summary>
    /// <param name="cancellationToken">Ends the training between two steps, with a checkpoint where a path is given for one. It
    /// can go on by another call.</param>
    /// <returns>What came of it.</returns>
    /// <exception cref="InvalidOperationException">The loss of a step is NaN or infinite (the weights are those before it), or an
    /// epoch has no batch.</exception>
    public TrainingResult Train(CancellationToken cancellationToken = default)
    {
        using TrainingLog? log = options.CsvPath is string path ? new TrainingLog(path, state.Step) : null;
        options.Distillation?.Teacher.eval();
        TrainingResult? result = null;
        TrainingProgress.Show(
            options.ShowProgress, options.Steps, progress => result = Train(log, progress, cancellationToken));
        return result!;
    }

    /// <summary>Evaluates the model as it is, on <see cref="BitTrainerOptions.Validation"/>.</summary>
    /// <returns>The evaluation.</returns>
    /// <exception cref="InvalidOperationException">There is no data for it.</exception>
    public Evaluation Evaluate() => Evaluation.Of(
        model,
        (options.Validation ?? throw new InvalidOperationException("There is no validation data to evaluate on."))(),
        lossOf, options.Metric);

    /// <summary>Writes all that is needed to go on.</summary>
    /// <param name="path">A file, replaced only when the new one is complete.</param>
    public void SaveCheckpoint(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using DisposeScope scope = NewDisposeScope();
        TrainingCheckpoint.Save(path, model, parameters, States(), state);
    }

    /// <summary>Goes on from a checkpoint: the model, the optimizer and the random numbers become those that were
    /// saved.</summary>
    /// <param name="path">What <see cref="SaveCheckpoint"/> wrote, of the same model.</param>
    /// <exception cref="BitLab.Core.BitLabException">It is not a checkpoint, or not of this model. Nothing is changed.</exception>
    /// <exception cref="InvalidDataException">The file is damaged. Nothing is changed.</exception>
    public void LoadCheckpoint(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using DisposeScope scope = NewDisposeScope();
        TrainingState loaded = TrainingCheckpoint.Load(path, model, parameters, States());
        state.Dispose();
        state = loaded;
        schedule.Steps = state.Step;
    }

    /// <summary>Frees the optimizer's memory and the best weights. The model stays.</summary>
    public void Dispose()
    {
        optimizer.Dispose();
        state.Dispose();
    }

    private TrainingResult Train(TrainingLog? log, Action<long, string> progress, CancellationToken cancellationToken)
    {
        double loss = double.NaN;
        TrainingEnd? end = End(cancellationToken);
        while (end is null)
        {
            model.train();
            int batches = 0;
            using IEnumerator<Batch> epoch = epochs(state.Epoch).GetEnumerator();
            while (end is null)
            {
                using DisposeScope scope = NewDisposeScope();
                if (!epoch.MoveNext())
                {
                    if (batches == 0)
                        throw new InvalidOperationException($"Epoch {state.Epoch} has no batch.");
                    (state.Epoch, state.BatchesOfEpoch) = (state.Epoch + 1, 0);
                    break;
                }
                // Those before an interruption are made once more and not used.
                if (batches++ < state.BatchesOfEpoch)
                    continue;
                loss = Step(epoch.Current);
                state.BatchesOfEpoch++;
                Report(loss, log, progress);
                end = End(cancellationToken);
                if (end is null && options.CheckpointPath is string path && state.Step % options.CheckpointEvery == 0)
                    SaveCheckpoint(path);
            }
        }
        if (options.CheckpointPath is string last)
            SaveCheckpoint(last);
        if (end != TrainingEnd.Cancelled && options.KeepBest && state.BestWeights.Count > 0)
            TrainingCheckpoint.CopyInto(model, state.BestWeights);
        model.eval();
        return new TrainingResult(end.Value, state.Step, loss, state.Best, state.BestStep);
    }

    private TrainingEnd? End(CancellationToken cancellationToken) =>
        state.Step >= options.Steps ? TrainingEnd.Completed
        : state.EvaluationsSinceBest >= options.Patience ? TrainingEnd.StoppedEarly
        : cancellationToken.IsCancellationRequested ? TrainingEnd.Cancelled
        : null;

    private double Step(Batch batch)
    {
        long start = Stopwatch.GetTimestamp();
        double rate = LearningRate;
        foreach (ParamGroup group in optimizer.ParamGroups.Cast<ParamGroup>())
            group.LearningRate = rate;
        // Set to 0, they would move a parameter that a step does not use, but not after an interruption, which leaves none.
        foreach ((_, Parameter parameter) in parameters)
            parameter.grad = null;
        Tensor output = model.call(batch.Input), loss = lossOf(output, batch.Target);
        if (options.Distillation is Distillation distillation)
            loss = distillation.Loss(batch.Input, output, loss);
        double value = loss.detach().to(ScalarType.Float64).item<double>();
        if (!double.IsFinite(value))
            throw new InvalidOperationException($"The loss of step {state.Step} is {value}: the learning rate {rate} may be too high.");
        loss.backward();
        if (options.MaxGradientNorm is double norm)
            nn.utils.clip_grad_norm_(parameters.Select(named => named.Value), norm);
        optimizer.step();
        TrainingMeters.Loss.Record(value);
        TrainingMeters.LearningRate.Record(rate);
        TrainingMeters.Lambda.Record(Lambda);
        TrainingMeters.Samples.Add(batch.Input.size(0));
        (state.LossSum, state.LossCount) = (state.LossSum + value, state.LossCount + 1);
        state.Step++;
        schedule.Step();
        TrainingMeters.StepDuration.Record(Stopwatch.GetElapsedTime(start).TotalSeconds);
        return value;
    }

    // After a step: what it was like, and how good the model is now.
    private void Report(double loss, TrainingLog? log, Action<long, string> progress)
    {
        long step = state.Step;
        bool isLast = step == options.Steps;
        Evaluation? evaluation = null;
        if (options.Validation is not null && (isLast || step % options.EvaluateEvery == 0))
        {
            evaluation = Evaluate();
            model.train();
            TrainingMeters.ValidationLoss.Record(evaluation.Loss);
            Compare(evaluation);
        }
        if (evaluation is not null || isLast || step % options.LogEvery == 0)
        {
            log?.Write(step, state.Epoch, state.LossSum / state.LossCount, learningRate.At(step - 1), options.Ternary.Lambda.At(step - 1), evaluation);
            (state.LossSum, state.LossCount) = (0, 0);
        }
        progress(step, $"epoch {state.Epoch}, loss {loss:G4}");
    }

    private void Compare(Evaluation evaluation)
    {
        // A NaN is never better.
        if (state.Best is not null && !(options.Objective(evaluation) < options.Objective(state.Best)))
        {
            state.EvaluationsSinceBest++;
            return;
        }
        (state.Best, state.BestStep, state.EvaluationsSinceBest) = (evaluation, state.Step, 0);
        if (options.KeepBest)
            state.KeepWeights(model);
    }

    private AdamW.ParamGroup Group(bool isMatrix, double weightDecay) => new(
        [.. parameters.Where(named => named.Value.ndim >= 2 == isMatrix).Select(named => named.Value)],
        learningRate.At(0), options.Beta1, options.Beta2, weight_decay: weightDecay);

    // AdamW's moments, in the order of the parameters.
    private AdamW.State[] States()
    {
        optim.Optimizer.StateDictionary all = optimizer.state_dict();
        IEnumerable<Parameter> order = optimizer.parameters();
        Dictionary<nint, AdamW.State> byParameter = order.Zip(all.State).ToDictionary(pair => pair.First.Handle, pair => (AdamW.State)pair.Second);
        return [.. parameters.Select(named => byParameter[named.Value.Handle])];
    }
}
