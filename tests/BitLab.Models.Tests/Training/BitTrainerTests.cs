using System.Diagnostics.Metrics;
using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models.Tests;

[Collection(nameof(UsesRandomNumbers))]
public sealed class BitTrainerTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("bitlab-trainer-").FullName;
    private readonly DisposeScope scope = NewDisposeScope();
    private readonly Tensor inputs, targets, validInputs, validTargets;

    public BitTrainerTests()
    {
        random.manual_seed(1);
        (inputs, validInputs) = (randn(90, 12), randn(40, 12));
        Tensor truth = randn(12, 3);
        (targets, validTargets) = (inputs.mm(truth).argmax(1), validInputs.mm(truth).argmax(1));
    }

    public void Dispose()
    {
        scope.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void A_ternary_model_learns()
    {
        using var model = Model();
        using var trainer = Trainer(model, Plain with { Steps = 300, LearningRate = LearningRateSchedule.Cosine(1e-2, 300, 15) });
        double before = trainer.Evaluate().Metric;
        TrainingResult result = trainer.Train();
        Assert.Equal((TrainingEnd.Completed, 300), (result.End, result.Steps));
        Assert.False(model.training);
        Evaluation after = trainer.Evaluate();
        Assert.True(after.Metric > 0.75 && after.Metric > before, $"{before} to {after.Metric}");
        Assert.Equal(40, after.Samples);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(17)]
    [InlineData(29)]
    public void An_interrupted_training_ends_with_the_same_bits(long interruptedAfter)
    {
        using var straight = Model();
        using var teacher = Model(ternary: false, seed: 9);
        BitTrainerOptions options = Rich(teacher);
        random.manual_seed(5);
        using (var trainer = Trainer(straight, options with { CsvPath = In("straight.csv") }))
            trainer.Train();

        using var first = Model();
        using var cancel = new CancellationTokenSource();
        BitTrainerOptions resumable = options with { CheckpointPath = In("c.safetensors"), CsvPath = In("resumed.csv") };
        random.manual_seed(5);
        using (var trainer = new BitTrainer(
            first,
            epoch => Counting(Batches().Epoch(epoch), () => interruptedAfter, cancel), resumable))
        {
            TrainingResult result = trainer.Train(cancel.Token);
            Assert.Equal((TrainingEnd.Cancelled, interruptedAfter), (result.End, result.Steps));
        }

        // Another process would have another model and other random numbers.
        using var second = Model(seed: 77);
        random.manual_seed(1234);
        using (var trainer = Trainer(second, resumable))
        {
            trainer.LoadCheckpoint(In("c.safetensors"));
            Assert.Equal(interruptedAfter, trainer.Steps);
            Assert.Equal(TrainingEnd.Completed, trainer.Train().End);
        }
        AssertSameWeights(straight, second);
        Assert.Equal(File.ReadAllText(In("straight.csv")), File.ReadAllText(In("resumed.csv")));
    }

    [Fact]
    public void A_crash_costs_the_steps_since_the_checkpoint_and_doubles_no_line_of_the_log()
    {
        using var straight = Model();
        using var teacher = Model(ternary: false, seed: 9);
        BitTrainerOptions options = Rich(teacher);
        random.manual_seed(5);
        using (var trainer = Trainer(straight, options with { CsvPath = In("straight.csv") }))
            trainer.Train();

        BitTrainerOptions resumable = options with { CheckpointPath = In("c.safetensors"), CheckpointEvery = 8, CsvPath = In("r.csv") };
        using var crashing = Model();
        random.manual_seed(5);
        using (var trainer = new BitTrainer(crashing, epoch => Failing(Batches().Epoch(epoch), epoch), resumable))
            Assert.Throws<IOException>(() => trainer.Train());
        File.AppendAllText(In("r.csv"), "21,3,0.4");             // a line that was not written to its end
        using var second = Model(seed: 77);
        using (var trainer = Trainer(second, resumable))
        {
            trainer.LoadCheckpoint(In("c.safetensors"));
            Assert.Equal(16, trainer.Steps);
            trainer.Train();
        }
        AssertSameWeights(straight, second);
        Assert.Equal(File.ReadAllText(In("straight.csv")), File.ReadAllText(In("r.csv")));

        static IEnumerable<Batch> Failing(IEnumerable<Batch> batches, long epoch)
        {
            int count = 0;
            foreach (Batch batch in batches)
                yield return epoch == 3 && ++count == 4 ? throw new IOException("the disk is gone") : batch;
        }
    }

    [Fact]
    public void The_best_weights_are_those_of_the_best_evaluation_and_patience_ends_the_training()
    {
        using var model = Model();
        var seen = new List<(double Loss, Dictionary<string, Tensor> Weights)>();
        int evaluation = 0;
        double[] losses = [3, 2, 1, 4, double.NaN, 1, 0.5];
        BitTrainerOptions options = Plain with
        {
            Steps = 1000,
            EvaluateEvery = 5,
            Patience = 3,
            Objective = e => e.Metric,
            Metric = (_, _) =>
            {
                seen.Add((losses[evaluation], model.state_dict().ToDictionary(p => p.Key, p => p.Value.detach().clone().DetachFromDisposeScope())));
                return losses[evaluation++];
            },
            Validation = () => new TensorBatches(validInputs, validTargets, 40).Epoch(0),
        };
        using var trainer = Trainer(model, options);
        TrainingResult result = trainer.Train();
        Assert.Equal((TrainingEnd.StoppedEarly, 30, 15), (result.End, result.Steps, result.BestStep));
        Assert.Equal(1, result.Best!.Metric);
        foreach ((string key, Tensor value) in model.state_dict())
            Assert.True(value.Equals(seen[2].Weights[key]), key);
    }

    [Fact]
    public void Schedules_follow_the_steps()
    {
        using var model = Model();
        var lambdas = new List<float>();
        BitLinear layer = model.modules().OfType<BitLinear>().First();
        BitTrainerOptions options = Plain with
        {
            Steps = 6,
            Ternary = new TrainingOptions { Lambda = LambdaSchedule.Linear(4) },
            Loss = (output, target) =>
            {
                lambdas.Add(layer.Lambda);
                return nn.functional.cross_entropy(output, target);
            },
            CsvPath = In("log.csv"),
            LogEvery = 1,
            LearningRate = LearningRateSchedule.TwoStage(6),
        };
        using var trainer = Trainer(model, options with { Validation = null });
        trainer.Train();
        Assert.Equal([0, 0.25f, 0.5f, 0.75f, 1, 1], lambdas);
        string[][] rows = [.. File.ReadAllLines(In("log.csv")).Skip(1).Select(line => line.Split(','))];
        Assert.Equal(["1", "2", "3", "4", "5", "6"], rows.Select(row => row[0]));
        Assert.Equal(["0", "0.25", "0.5", "0.75", "1", "1"], rows.Select(row => row[4]));
        double[] rates = [.. rows.Select(row => double.Parse(row[3], System.Globalization.CultureInfo.InvariantCulture))];
        double[] byHand = [1.5e-3, 1.5e-3 - (0.7e-3 / 3), 1.5e-3 - (1.4e-3 / 3), 5e-4, 5e-4 * 2 / 3, 5e-4 / 3];
        for (int i = 0; i < 6; i++)
            Assert.Equal(byHand[i], rates[i], 1e-12);
    }

    [Fact]
    public void The_loop_is_AdamW_on_batches_in_their_order()
    {
        using var model = Model();
        using var byHand = Model();
        BitTrainerOptions options = Plain with { Steps = 10, Validation = null, MaxGradientNorm = null, WeightDecay = 0.1, LearningRate = LearningRateSchedule.Constant(0.01) };
        random.manual_seed(4);
        using (var trainer = Trainer(model, options))
            trainer.Train();
        random.manual_seed(4);
        using var matrices = optim.AdamW(byHand.parameters().Where(p => p.ndim == 2), 0.01, weight_decay: 0.1);
        using var vectors = optim.AdamW(byHand.parameters().Where(p => p.ndim == 1), 0.01, weight_decay: 0);
        Batch[] all = [.. Batches().Epoch(0), .. Batches().Epoch(1), .. Batches().Epoch(2)];
        foreach (Batch batch in all.Take(10))
        {
            matrices.zero_grad();
            vectors.zero_grad();
            nn.functional.cross_entropy(byHand.call(batch.Input), batch.Target).backward();
            matrices.step();
            vectors.step();
        }
        AssertSameWeights(byHand, model);
    }

    [Fact]
    public void A_parameter_that_a_step_does_not_use_stays_where_it_is()
    {
        using var model = new Forked();
        Tensor? afterFirst = null;
        using var trainer = new BitTrainer(model, Batches().Epoch, Plain with { Steps = 5, Validation = null, WeightDecay = 0.1 });
        model.Stepped = () => afterFirst ??= model.Spare.weight.detach().clone().DetachFromDisposeScope();
        Tensor before = model.Spare.weight.detach().clone();
        trainer.Train();
        Assert.False(before.Equals(afterFirst!));
        Assert.True(model.Spare.weight.Equals(afterFirst!));
    }

    [Fact]
    public void A_forged_state_of_random_numbers_is_refused()
    {
        using var model = Model();
        using var trainer = Trainer(model, Plain);
        trainer.SaveCheckpoint(In("good"));
        Dictionary<string, Tensor> tensors = SafetensorsTensors.Load(In("good"));
        tensors["random"].fill_(255);
        using (SafetensorsFile file = SafetensorsFile.Open(In("good")))
            SafetensorsTensors.Save(In("forged"), tensors, file.Metadata);
        Assert.Contains("'random' is no state", Assert.Throws<BitLabException>(() => trainer.LoadCheckpoint(In("forged"))).Message);
    }

    [Fact]
    public void A_teacher_adds_the_gradient_of_the_formula()
    {
        using var teacher = Model(ternary: false, seed: 3);
        Tensor logits = randn(4, 3, requires_grad: true), target = tensor(new long[] { 0, 2, 1, 1 }), input = randn(4, 12);
        var distillation = new Distillation(teacher) { Temperature = 3, Share = 0.7 };
        teacher.eval();
        distillation.Loss(input, logits, nn.functional.cross_entropy(logits, target)).backward();
        // d/dz of T² · KL(p ‖ q(z / T)) is T · (q - p); of the cross entropy, softmax(z) - onehot; both over the batch's size.
        Tensor q = nn.functional.softmax(logits.detach() / 3, 1), p = nn.functional.softmax(teacher.call(input).detach() / 3, 1);
        Tensor expected = ((0.7 * 3 * (q - p)) + (0.3 * (nn.functional.softmax(logits.detach(), 1) - nn.functional.one_hot(target, 3)))) / 4;
        Assert.True((expected - logits.grad!).abs().max().item<float>() < 1e-6);
    }

    [Fact]
    public void A_loss_that_is_not_finite_stops_before_the_weights_are_spoiled()
    {
        using var model = Model();
        Dictionary<string, Tensor>? before = null;
        int step = 0;
        BitTrainerOptions options = Plain with
        {
            Validation = null,
            Loss = (output, target) =>
            {
                if (++step < 4)
                    return nn.functional.cross_entropy(output, target);
                before = model.state_dict().ToDictionary(p => p.Key, p => p.Value.detach().clone().DetachFromDisposeScope());
                return output.sum() * float.NaN;
            },
        };
        using var trainer = Trainer(model, options);
        Assert.Contains("step 3 is NaN", Assert.Throws<InvalidOperationException>(() => trainer.Train()).Message);
        Assert.All(model.state_dict(), value => Assert.True(value.Value.Equals(before![value.Key])));
    }

    [Fact]
    public void Metrics_are_measured()
    {
        var samples = new List<long>();
        var values = new Dictionary<string, List<double>>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter.Name == BitTrainer.MeterName)
                    self.EnableMeasurementEvents(instrument);
            },
        };
        int thread = Environment.CurrentManagedThreadId;
        listener.SetMeasurementEventCallback<long>((_, value, _, _) =>
        {
            if (Environment.CurrentManagedThreadId == thread)
                samples.Add(value);
        });
        listener.SetMeasurementEventCallback<double>((instrument, value, _, _) =>
        {
            if (Environment.CurrentManagedThreadId != thread)
                return;
            if (!values.TryGetValue(instrument.Name, out List<double>? list))
                values[instrument.Name] = list = [];
            list.Add(value);
        });
        listener.Start();
        using var model = Model();
        using var trainer = Trainer(model, Plain with { Steps = 6, EvaluateEvery = 3, LearningRate = LearningRateSchedule.Constant(0.02) });
        TrainingResult result = trainer.Train();
        Assert.Equal([16, 16, 16, 16, 16, 10], samples);
        Assert.Equal(result.Loss, values["bitlab.training.loss"][^1]);
        Assert.All(values["bitlab.training.learning_rate"], rate => Assert.Equal(0.02, rate));
        Assert.Equal(6, values["bitlab.training.step.duration"].Count(seconds => seconds > 0));
        Assert.Equal(2, values["bitlab.training.validation.loss"].Count);
    }

    [Fact]
    public void Nothing_piles_up_over_the_steps()
    {
        using var model = Model();
        using var trainer = Trainer(model, Plain with { Steps = 60, EvaluateEvery = 5 });
        using var few = Trainer(model, Plain with { Steps = 10, EvaluateEvery = 5 });
        few.Train();
        long before = Tensor.TotalCount;
        using var again = Trainer(model, Plain with { Steps = 10, EvaluateEvery = 5 });
        again.Train();
        long ofTen = Tensor.TotalCount - before;
        before = Tensor.TotalCount;
        trainer.Train();
        Assert.InRange(Tensor.TotalCount - before, long.MinValue, ofTen);
    }

    [Fact]
    public void Foreign_and_damaged_checkpoints_change_nothing()
    {
        using var model = Model();
        using var trainer = Trainer(model, Plain);
        trainer.SaveCheckpoint(In("good"));
        Dictionary<string, Tensor> before = model.state_dict().ToDictionary(p => p.Key, p => p.Value.detach().clone());
        SafetensorsTensors.Save(In("weights"), model.state_dict());
        Assert.Contains("is not the checkpoint of a training", Assert.Throws<BitLabException>(() => trainer.LoadCheckpoint(In("weights"))).Message);
        using (var other = new BitMLPModel(new BitMLPConfig { NLayers = 2, InChannels = 12, HiddenDim = 24, OutChannels = 4, Dropout = 0.2 }))
        using (var others = Trainer(other, Plain))
            others.SaveCheckpoint(In("other"));
        string message = Assert.Throws<BitLabException>(() => trainer.LoadCheckpoint(In("other"))).Message;
        Assert.Contains("'model.layers.3.weight' is Float32 (4, 24), not Float32 (3, 24)", message);
        byte[] bytes = File.ReadAllBytes(In("good"));
        File.WriteAllBytes(In("cut"), bytes[..^1]);
        Assert.Throws<InvalidDataException>(() => trainer.LoadCheckpoint(In("cut")));
        string text = System.Text.Encoding.Latin1.GetString(bytes).Replace("\\u0022step\\u0022:0", "\\u0022step\\u0022:x").Replace("\\\"step\\\":0", "\\\"step\\\":x");
        File.WriteAllBytes(In("bad"), System.Text.Encoding.Latin1.GetBytes(text));
        Assert.Contains("cannot be read", Assert.Throws<BitLabException>(() => trainer.LoadCheckpoint(In("bad"))).Message);
        Assert.All(model.state_dict(), value => Assert.True(value.Value.Equals(before[value.Key])));
    }

    [Fact]
    public void Models_without_anything_to_train_are_refused()
    {
        using var deployed = Model();
        deployed.Deploy();
        Assert.Contains("is deployed", Assert.Throws<ArgumentException>(() => Trainer(deployed, Plain)).Message);
        using var empty = nn.Sequential(nn.ReLU());
        Assert.Contains("no parameter", Assert.Throws<ArgumentException>(() => new BitTrainer(empty, Batches().Epoch, Plain)).Message);
        using var model = Model();
        using var trainer = new BitTrainer(model, _ => [], Plain);
        Assert.Contains("Epoch 0 has no batch", Assert.Throws<InvalidOperationException>(() => trainer.Train()).Message);
    }

    // Its first step takes one way, all others the other.
    private sealed class Forked : nn.Module<Tensor, Tensor>
    {
        private readonly TorchSharp.Modules.Linear main = nn.Linear(12, 3);
        private readonly TorchSharp.Modules.Linear spare = nn.Linear(12, 3);
        private int calls;

        public Forked()
            : base(nameof(Forked)) => RegisterComponents();

        public TorchSharp.Modules.Linear Spare => spare;

        public Action? Stepped { get; set; }

        public override Tensor forward(Tensor x)
        {
            if (calls++ == 0)
                return spare.call(x);
            Stepped?.Invoke();
            return main.call(x);
        }
    }

    private BitTrainerOptions Plain => new()
    {
        Steps = 30,
        ShowProgress = false,
        Validation = () => new TensorBatches(validInputs, validTargets, 16).Epoch(0),
    };

    // Everything that has a state: dropout is in the model.
    private BitTrainerOptions Rich(nn.Module<Tensor, Tensor> teacher) => Plain with
    {
        Steps = 30,
        LearningRate = LearningRateSchedule.Cosine(0.02, 30, 4),
        Ternary = new TrainingOptions { Lambda = LambdaSchedule.Linear(12), WeightDecaySteps = 20 },
        WeightDecay = 0.1,
        Distillation = new Distillation(teacher),
        EvaluateEvery = 4,
        LogEvery = 3,
        Patience = 50,
    };

    private TensorBatches Batches() => new(inputs, targets, 16, seed: 42);

    private BitTrainer Trainer(nn.Module<Tensor, Tensor> model, BitTrainerOptions options) => new(model, Batches().Epoch, options);

    private string In(string name) => Path.Combine(folder, name);

    private static BitMLPModel Model(bool ternary = true, int seed = 2)
    {
        random.manual_seed(seed);
        return new BitMLPModel(new BitMLPConfig
        {
            NLayers = 2, InChannels = 12, HiddenDim = 24, OutChannels = 3, Dropout = ternary ? 0.2 : 0, Layer = ternary ? "BitLinear" : "Linear",
        });
    }

    private static int given;

    private static IEnumerable<Batch> Counting(IEnumerable<Batch> batches, Func<long> limit, CancellationTokenSource cancel)
    {
        foreach (Batch batch in batches)
        {
            if (Interlocked.Increment(ref given) == limit())
            {
                given = 0;
                cancel.Cancel();
            }
            yield return batch;
        }
    }

    private static void AssertSameWeights(nn.Module expected, nn.Module actual)
    {
        Dictionary<string, Tensor> values = actual.state_dict();
        foreach ((string key, Tensor value) in expected.state_dict())
            Assert.True(value.Equals(values[key]), key);
    }
}
