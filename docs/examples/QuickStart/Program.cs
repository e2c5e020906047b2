// Trains a float and a ternary network on handwritten digits, deploys the ternary one, saves it, loads it again, and prints
// what that cost: dotnet run -c Release --project docs/examples/QuickStart
using BitLab.Core;
using BitLab.Layers;
using BitLab.Models;
using QuickStart;
using Spectre.Console;
using TorchSharp;
using static TorchSharp.torch;

const int Seeds = 5, Epochs = 30, BatchSize = 32;
var sizes = new BitMLPConfig { NLayers = 3, InChannels = 64, HiddenDim = 256, OutChannels = 10 };
string folder = Path.Combine(Path.GetTempPath(), $"bitlab-quickstart-{Environment.ProcessId}");
Digits digits = Digits.Load();
Outcome[] outcomes = AnsiConsole.Progress().Start(progress =>
{
    ProgressTask task = progress.AddTask($"Training {Seeds} × 2 networks", maxValue: 2 * Seeds * Epochs);
    return Enumerable.Range(0, Seeds).Select(seed => Run(seed, () => task.Increment(1))).ToArray();
});
Directory.Delete(folder, recursive: true);
LayerComparison largeLayer = MeasureLargeLayer();

Outcome last = outcomes[^1];
MemoryComparison memory = last.Network.Memory;
var table = new Table().Title("Handwritten digits, 64-256-256-10, means of 5 seeds").Border(TableBorder.Simple).AddColumn("");
foreach (string column in new[] { "float", "ternary", "" })
    table.AddColumn(new TableColumn(column).RightAligned());
table.AddRow("test accuracy", Percent(o => o.FloatAccuracy), Percent(o => o.TernaryAccuracy));
table.AddRow("test accuracy, reloaded", "", Percent(o => o.ReloadedAccuracy), outcomes.All(o => o.ReloadedIsEqual) ? "bit-equal" : "DIFFERENT");
table.AddRow("bytes of weights", $"{last.FloatWeightBytes:N0}", $"{last.TernaryWeightBytes:N0}", $"{(double)last.FloatWeightBytes / last.TernaryWeightBytes:F1} × fewer");
table.AddRow("bytes held, with biases", $"{memory.BaselineBytes:N0}", $"{memory.QuantizedBytes:N0}", $"{memory.Ratio:F1} × fewer");
table.AddRow("file size", $"{last.FloatFileBytes:N0}", $"{last.TernaryFileBytes:N0}", $"{(double)last.FloatFileBytes / last.TernaryFileBytes:F1} × fewer");
AddTimes("one sample, this network", last.Network);
AddTimes("one sample, a 2048 × 2048 layer", largeLayer);
AnsiConsole.Write(table);
IBitKernel kernel = KernelRegistry.GetKernelForConfig(BitQuantConfig.Default);
AnsiConsole.WriteLine($"Kernel: {kernel.Name} ({kernel.Isa}), native: {kernel.HasNativeBackend}");
return outcomes.All(o => o.ReloadedIsEqual) ? 0 : 1;

Outcome Run(int seed, Action epochDone)
{
    using DisposeScope scope = NewDisposeScope();
    random.manual_seed(seed);
    BitModel twin = AutoBitModel.FromConfig(sizes with { Layer = "Linear" });
    BitModel model = AutoBitModel.FromConfig(sizes);
    Train(twin, epochDone);
    Train(model, epochDone);

    string floatFolder = Path.Combine(folder, "float"), ternaryFolder = Path.Combine(folder, "ternary");
    twin.SavePretrained(floatFolder);
    model.Deploy();
    model.SavePretrained(ternaryFolder);
    BitModel reloaded = AutoBitModel.FromPretrained(ternaryFolder);

    using IDisposable noGradients = no_grad();
    Tensor sample = digits.TestImages[..1];
    return new Outcome(
        Accuracy(twin), Accuracy(model), Accuracy(reloaded),
        model.call(digits.TestImages).Equals(reloaded.call(digits.TestImages)),
        twin.parameters().Where(p => p.ndim == 2).Sum(p => p.numel() * p.element_size()),
        model.modules().OfType<BitLinear>().Sum(layer => layer.PackedBytes),
        new FileInfo(Path.Combine(floatFolder, "model.safetensors")).Length,
        new FileInfo(Path.Combine(ternaryFolder, "model.safetensors")).Length,
        LayerComparison.Measure(twin, model, sample));
}

void Train(BitModel model, Action epochDone)
{
    model.train();
    optim.Optimizer optimizer = optim.AdamW(model.parameters(), lr: 2e-3, weight_decay: 0.01);
    optim.lr_scheduler.LRScheduler schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, Epochs);
    for (int epoch = 0; epoch < Epochs; epoch++, epochDone())
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor order = randperm(digits.TrainImages.size(0));
        foreach (Tensor batch in order.split(BatchSize))
        {
            optimizer.zero_grad();
            Tensor logits = model.call(digits.TrainImages[batch]);
            nn.functional.cross_entropy(logits, digits.TrainLabels[batch]).backward();
            optimizer.step();
        }
        schedule.step();
    }
    model.eval();
}

double Accuracy(BitModel model) =>
    model.call(digits.TestImages).argmax(1).eq(digits.TestLabels).to(float64).mean().item<double>();

static LayerComparison MeasureLargeLayer()
{
    using DisposeScope scope = NewDisposeScope();
    using var linear = nn.Linear(2048, 2048);
    using var layer = new BitLinear(2048, 2048);
    layer.Deploy();
    return LayerComparison.Measure(linear, layer, randn(1, 2048));
}

void AddTimes(string row, LayerComparison times) =>
    table.AddRow(row, Microseconds(times.BaselineTime), Microseconds(times.QuantizedTime), $"{times.Speedup:F1} × faster");

string Percent(Func<Outcome, double> accuracy) => $"{outcomes.Average(accuracy):P2}";

static string Microseconds(TimeSpan time) => $"{time.TotalMicroseconds:F1} µs";

internal sealed record Outcome(
    double FloatAccuracy, double TernaryAccuracy, double ReloadedAccuracy, bool ReloadedIsEqual,
    long FloatWeightBytes, long TernaryWeightBytes, long FloatFileBytes, long TernaryFileBytes,
    LayerComparison Network);
