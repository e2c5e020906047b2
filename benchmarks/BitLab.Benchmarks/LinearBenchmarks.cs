using BenchmarkDotNet.Attributes;
using TorchSharp;

namespace BitLab.Benchmarks;

/// <summary>One forward of each contestant. All of them take hours; <c>--filter</c> sees the parameters and chooses:
/// <c>--filter '*native*4096*14336*M: 32,*'</c>.</summary>
public class LinearBenchmarks
{
    private Contestant contestant = null!;
    private IDisposable noGradients = null!;

    [ParamsSource(nameof(Names))]
    public string Name { get; set; } = "";

    [ParamsSource(nameof(Shapes))]
    public Shape Layer { get; set; }

    [ParamsSource(nameof(TokenCounts))]
    public int M { get; set; }

    [ParamsSource(nameof(ThreadCounts))]
    public int Threads { get; set; }

    public static IEnumerable<Shape> Shapes => Plan.Full.Shapes;

    public static IEnumerable<int> TokenCounts => Plan.Full.Tokens;

    // The reference kernel would take minutes.
    public static IEnumerable<string> Names => Contestants.Names.Where(name => name != Contestants.Reference);

    public static IEnumerable<int> ThreadCounts => ((int[])[1, torch.get_num_threads()]).Distinct();

    [GlobalSetup]
    public void Setup()
    {
        noGradients = torch.no_grad();
        contestant = Contestants.Create(Name);
        contestant.Prepare(Layer);
        contestant.SetTokens(M);
        contestant.SetThreads(Threads);
    }

    [Benchmark]
    public void Forward() => contestant.Run(1);

    [GlobalCleanup]
    public void Cleanup()
    {
        contestant.Dispose();
        noGradients.Dispose();
    }
}
