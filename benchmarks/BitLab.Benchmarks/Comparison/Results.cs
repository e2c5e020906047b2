namespace BitLab.Benchmarks;

/// <summary>A multiplication that contestants are timed at.</summary>
internal readonly record struct Case(Shape Shape, int Tokens, int Threads)
{
    /// <summary>A product is two operations.</summary>
    public double Operations => 2.0 * Tokens * Shape.Weights;

    public static string ThreadsText(int threads) => threads == 1 ? "1 thread" : $"{threads} threads";

    public override string ToString() => $"{Shape}, M = {Tokens}, {ThreadsText(Threads)}";
}

/// <summary>Median times, in seconds.</summary>
internal sealed class Results
{
    private readonly Dictionary<(string Contestant, Case Case), Measurement> measurements = [];

    private readonly record struct Measurement(double Seconds, long WeightBytes);

    /// <summary>What was measured, in its order.</summary>
    public IReadOnlyList<Case> Cases => [.. measurements.Keys.Select(key => key.Case).Distinct()];

    public void Add(string contestant, Case at, double seconds, long weightBytes) =>
        measurements.Add((contestant, at), new(seconds, weightBytes));

    /// <summary>Enters the fastest of some under a common name.</summary>
    public void AddFastest(string name, IEnumerable<string> contestants, Case at)
    {
        List<Measurement> found = [.. from contestant in contestants
                                      where measurements.ContainsKey((contestant, at))
                                      select measurements[(contestant, at)]];
        if (found.Count > 0)
            measurements.Add((name, at), found.MinBy(measurement => measurement.Seconds));
    }

    public double? Seconds(string contestant, Case at) =>
        measurements.TryGetValue((contestant, at), out Measurement found) ? found.Seconds : null;

    /// <summary>The bytes of weights read in a second.</summary>
    public double? ReadRate(string contestant, Case at) =>
        measurements.TryGetValue((contestant, at), out Measurement found) ? found.WeightBytes / found.Seconds : null;

    /// <summary>Operations a second.</summary>
    public double? OperationRate(string contestant, Case at) => at.Operations / Seconds(contestant, at);

    /// <summary>How many times as fast the first is as the second.</summary>
    public double? Speedup(string contestant, string over, Case at) => Seconds(over, at) / Seconds(contestant, at);
}
