using BenchmarkDotNet.Attributes;
using TorchSharp;

namespace BitLab.Benchmarks;

/// <summary>One forward of each contestant. A part of them is chosen by <c>--filter</c>, which sees the parameters too:
/// <c>--filter '*native*M: 32*'</c>.</summary>
public class LinearBenchmarks
{
    private Contestant contestant = null!;
    private IDisposable noGradients = null!;

    [ParamsSource(nameof(Names))]
    public string Name { get; set; } = "";

    [Params(4096)]
    public int K { get; set; }

    [Params(4096)]
    public int N { get; set; }

    [Params(1, 32, 512)]
    public int M { get; set; }

    [ParamsSource(nameof(ThreadCounts))]
    public int Threads { get; set; }

    // The reference kernel would take minutes.
    public static IEnumerable<string> Names => Contestants.Names.Where(name => name != Contestants.Reference);

    public static IEnumerable<int> ThreadCounts => ((int[])[1, torch.get_num_threads()]).Distinct();

    [GlobalSetup]
    public void Setup()
    {
        noGradients = torch.no_grad();
        contestant = Contestants.Create(Name);
        contestant.Prepare(new Shape(K, N));
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
