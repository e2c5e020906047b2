// What BitLab runs on here, the kernel that each of the 8 configs gets, and whether it gives the bits of the reference:
// dotnet run --project docs/examples/KernelCheck
using BitLab.Core;
using Spectre.Console;

AnsiConsole.WriteLine(BitLabRuntime.Describe());
var table = new Table().Border(TableBorder.Simple)
    .AddColumns("weights", "activations", "kernel", "instruction set", "exact");
bool allAgree = true;
foreach (BitQuantConfig config in BitQuantConfig.All)
{
    IBitKernel kernel = KernelRegistry.GetKernelForConfig(config);
    bool agrees = Outputs(config, kernel).SequenceEqual(Outputs(config, KernelRegistry.GetKernelByName("reference", config)));
    allAgree &= agrees;
    table.AddRow(
        Word(config.WeightGranularity), $"{config.ActivationDtype} {Word(config.ActivationGranularity)}".ToLowerInvariant(),
        kernel.Name, kernel.Isa, agrees ? "yes" : "NO");
}
AnsiConsole.Write(table);
return allAgree ? 0 : 1;

static string Word(Granularity granularity) => granularity switch
{
    Granularity.PerTensor => "per tensor",
    Granularity.PerChannel => "per channel",
    _ => "per token",
};

static float[] Outputs(BitQuantConfig config, IBitKernel kernel)
{
    const int Tokens = 5, Columns = 300, Rows = 77;
    var random = new Random(1);
    float[] x = [.. Enumerable.Range(0, Tokens * Columns).Select(_ => random.NextSingle() - 0.5f)];
    float[] w = [.. Enumerable.Range(0, Rows * Columns).Select(_ => random.NextSingle() - 0.5f)];
    float[] y = new float[Tokens * Rows];
    using var packed = PackedTernaryWeights.Pack(w, Rows, Columns, config.WeightGranularity);
    TernaryLinear.Forward(packed, config, x, bias: [], y, kernel);
    return y;
}
