// dotnet run -c Release --project benchmarks/BitLab.Benchmarks -- --quick              the comparison, in 3 minutes
// dotnet run -c Release --project benchmarks/BitLab.Benchmarks -- --full               the same with all shapes
// dotnet run -c Release --project benchmarks/BitLab.Benchmarks -- --training           steps of training, in 2 minutes
// dotnet run -c Release --project benchmarks/BitLab.Benchmarks -- --filter '*M: 32,*'  a part of it, by BenchmarkDotNet
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using BitLab.Benchmarks;

if (args is ["--training"])
{
    var trainingPage = new ResultsPage("training");
    var training = new TrainingRun(TrainingCase.All, [.. new[] { 1, Environment.ProcessorCount }.Distinct()]);
    training.Run();
    Console.WriteLine(training.Report());
    trainingPage.Write(training.Report());
    return;
}
Plan? plan = args switch
{
    ["--quick"] => Plan.Quick,
    ["--full"] => Plan.Full,
    _ => null,
};
if (plan is null)
{
    // In this process: a process for each benchmark would load LibTorch again each time.
    ManualConfig config = ManualConfig.Create(DefaultConfig.Instance)
        .AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance))
        .WithSummaryStyle(SummaryStyle.Default.WithMaxParameterColumnWidth(50));
    BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, config);
    return;
}
var page = new ResultsPage();
using var run = new ComparisonRun(plan);
run.Run();
page.Write(Report.Text(run));
SpeedupPlot.Write(run, Path.Combine(page.Folder, ResultsPage.Plot));
Console.WriteLine($"Written to {page.Folder}.");
