using static TorchSharp.torch;

namespace BitLab.Benchmarks;

/// <summary>The whole comparison, in one process.</summary>
internal sealed class ComparisonRun : IDisposable
{
    // More than the last-level cache of most machines.
    private const long ColdBytes = 192L << 20;

    // The reference kernel is there to be read: scalar C#, thousands of times slower.
    private const double ReferenceOperations = 4e6;

    public ComparisonRun(Plan plan)
    {
        Plan = plan;
        int all = get_num_threads();
        ThreadCounts = all == 1 ? [1] : [1, all];
    }

    public Plan Plan { get; }

    /// <summary>One, and as many as LibTorch takes by itself.</summary>
    public IReadOnlyList<int> ThreadCounts { get; }

    public MachineLimits Limits { get; } = new();

    /// <summary>The same weights again and again: in a cache, where they fit.</summary>
    public Results Hot { get; } = new();

    /// <summary>Weights that are in no cache.</summary>
    public Results Cold { get; } = new();

    public void Run()
    {
        using IDisposable noGradients = no_grad();
        Say("checking what each computes");
        Check();
        Limits.Measure(ThreadCounts);
        foreach (Shape shape in Plan.Shapes)
        {
            Say($"{shape}");
            Measure(Hot, shape, Plan.Tokens, Contestants.Names, coldBytes: 0);
            Limits.Measure(ThreadCounts);
        }
        foreach (Shape shape in Plan.ColdShapes)
        {
            Say($"{shape}, cold");
            Measure(Cold, shape, [1], Contestants.ColdNames, ColdBytes);
            Limits.Measure(ThreadCounts);
        }
    }

    public void Dispose() => Limits.Dispose();

    // Twice, with a pause: .NET compiles what has run often anew, in the background.
    private void Check()
    {
        for (int pass = 0; pass < 2; pass++)
        {
            foreach (string name in Contestants.Names.Union(Contestants.ColdNames))
            {
                using Contestant contestant = Contestants.Create(name);
                SelfCheck.Run(contestant, ThreadCounts);
            }
            Thread.Sleep(500);
        }
    }

    private void Measure(Results results, Shape shape, int[] tokenCounts, IEnumerable<string> names, long coldBytes)
    {
        List<Contestant> contestants = [.. names.Select(name => Contestants.Create(name, coldBytes))];
        foreach (Contestant contestant in contestants)
            contestant.Prepare(shape);
        foreach (int tokens in tokenCounts)
        {
            List<Contestant> taking = [.. contestants.Where(contestant => Takes(contestant, new Case(shape, tokens, 1)))];
            foreach (Contestant contestant in taking)
                contestant.SetTokens(tokens);
            foreach (var ((contestant, threads), seconds) in Rounds.Measure(taking, ThreadCounts, Plan))
                results.Add(contestant.Name, new Case(shape, tokens, threads), seconds, contestant.WeightBytes);
            foreach (int threads in ThreadCounts)
            {
                var at = new Case(shape, tokens, threads);
                results.AddFastest(Contestants.IntMm, [Contestants.IntMmTransposed, Contestants.IntMmStraight], at);
                results.AddFastest(Contestants.Onnx, [Contestants.Onnx2, Contestants.Onnx4, Contestants.Onnx8], at);
            }
        }
        foreach (Contestant contestant in contestants)
            contestant.Dispose();
        // Models of ONNX Runtime are arrays of many megabytes.
        GC.Collect();
    }

    private static bool Takes(Contestant contestant, Case at) =>
        contestant.Name != Contestants.Reference || at.Operations <= ReferenceOperations;

    private static void Say(string what) => Console.WriteLine($"{DateTime.Now:HH:mm:ss} {what}");
}
