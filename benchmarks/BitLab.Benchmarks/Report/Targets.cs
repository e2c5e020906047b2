namespace BitLab.Benchmarks;

/// <summary>What was asked of BitLab, and what was measured.</summary>
internal static class Targets
{
    private sealed record Sample(double Value, Case At);

    /// <summary>The table. Of many measured values, the worst is shown.</summary>
    public static MarkdownTable Table(ComparisonRun run)
    {
        var table = new MarkdownTable(textColumns: 3, "what", "asked", "measured", "met");
        Results hot = run.Hot, cold = run.Cold;
        string best = Contestants.Best;
        List<Case> wide = [.. hot.Cases.Where(at => at.Tokens >= 8 && Math.Min(at.Shape.K, at.Shape.N) >= 2560)];

        Add("cold 8192 × 8192, M = 1: of read bandwidth", 0.85, isPercent: true, cold.Cases.Where(IsLargest), at =>
            cold.ReadRate(best, at) / run.Limits.Bandwidth(at.Threads));
        Add("4096 × 4096, M = 1, in cache: of dot peak", 0.75, isPercent: true, hot.Cases.Where(IsPlotted(1)), PeakFraction);
        Add("K, N ≥ 2560, M ≥ 8: of dot peak", 0.92, isPercent: true, wide, PeakFraction);
        foreach (var (tokens, float32, bfloat16) in new[] { (1, 40.0, 25.0), (32, 9, 3), (512, 5, 1.9) })
        {
            Add($"4096 × 4096, M = {tokens}: × float32", float32, isPercent: false, hot.Cases.Where(IsPlotted(tokens)), at =>
                hot.Speedup(best, Contestants.Float32, at));
            Add($"4096 × 4096, M = {tokens}: × bfloat16", bfloat16, isPercent: false, hot.Cases.Where(IsPlotted(tokens)), at =>
                hot.Speedup(best, Contestants.Bfloat16, at));
        }
        Add("every shape: × `_int_mm`", 1, isPercent: false, hot.Cases, at => hot.Speedup(best, Contestants.IntMm, at));
        Add("every shape: × the best of ONNX Runtime", 1.9, isPercent: false, hot.Cases, at =>
            hot.Speedup(best, Contestants.Onnx, at));
        Add("cold: managed over native", 0.85, isPercent: false, cold.Cases, at =>
            cold.Speedup(Contestants.Managed, Contestants.Native, at));
        Add("in cache, every shape: managed over native", 0.65, isPercent: false, hot.Cases, at =>
            hot.Speedup(Contestants.Managed, Contestants.Native, at));
        Add("K, N ≥ 2560, M ≥ 8: all threads over 1, for each thread", 0.95, isPercent: false,
            wide.Where(at => at.Threads > 1), at =>
                hot.Seconds(best, at with { Threads = 1 }) / hot.Seconds(best, at) / at.Threads);
        Add("every shape, float32 activations: × float32", 1, isPercent: false, hot.Cases, at =>
            hot.Speedup(Contestants.BestFloat32, Contestants.Float32, at));
        return table;

        double? PeakFraction(Case at) => hot.OperationRate(best, at) / run.Limits.DotPeak(at.Threads);

        void Add(string what, double asked, bool isPercent, IEnumerable<Case> cases, Func<Case, double?> measure)
        {
            List<Sample> samples = [.. from at in cases
                                       let value = measure(at)
                                       where value is not null
                                       select new Sample(value.Value, at)];
            string Text(double value) => isPercent ? Format.Percent(value) : Format.Ratio(value);
            // One for each number of threads: all are shown.
            string measured = samples.Select(sample => sample.At with { Threads = 1 }).Distinct().Count() == 1
                ? string.Join(", ", samples.Select(sample => $"{Text(sample.Value)} with {Case.ThreadsText(sample.At.Threads)}"))
                : samples.MinBy(sample => sample.Value) is Sample worst ? $"at worst {Text(worst.Value)} ({worst.At})"
                : "not measured";
            table.Add(
                what,
                isPercent ? $"≥ {Format.Percent(asked)}" : $"≥ {asked}",
                measured,
                $"{samples.Count(sample => sample.Value >= asked)} of {samples.Count}");
        }
    }

    private static bool IsLargest(Case at) => at.Shape == new Shape(8192, 8192);

    private static Func<Case, bool> IsPlotted(int tokens) => at => at.Shape == Plan.PlotShape && at.Tokens == tokens;
}
