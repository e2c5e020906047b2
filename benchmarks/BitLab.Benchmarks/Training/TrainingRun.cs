using System.Diagnostics;
using System.Text;
using static TorchSharp.torch;

namespace BitLab.Benchmarks;

/// <summary>The time of a training step, ternary beside float, in turns.</summary>
internal sealed class TrainingRun(IReadOnlyList<TrainingCase> cases, IReadOnlyList<int> threadCounts)
{
    private readonly List<(TrainingCase At, int Threads, double Float, double Ternary, double Ratio)> results = [];

    public void Run()
    {
        foreach (TrainingCase at in cases)
        {
            using var dense = new TrainedNetwork(at, isTernary: false);
            using var ternary = new TrainedNetwork(at, isTernary: true);
            List<Turn> turns = [.. from threads in threadCounts
                                   from network in new[] { dense, ternary }
                                   select new Turn(network, threads)];
            for (int round = -1; round < at.Rounds; round++)
            {
                // Not always behind the same neighbour; the first round warms up.
                for (int i = 0; i < turns.Count; i++)
                    turns[round % 2 == 0 ? i : turns.Count - 1 - i].Take(at.Steps, isTimed: round >= 0);
            }
            foreach (int threads in threadCounts)
            {
                List<double> Seconds(TrainedNetwork network) =>
                    turns.Single(turn => turn.Network == network && turn.Threads == threads).Seconds;
                List<double> denseSeconds = Seconds(dense), ternarySeconds = Seconds(ternary);
                // Of steps that were neighbours in time, so that what changes slowly on the machine is in both.
                double ratio = Statistics.Median(ternarySeconds.Zip(denseSeconds, (one, other) => one / other));
                results.Add((at, threads, Statistics.Median(denseSeconds), Statistics.Median(ternarySeconds), ratio));
            }
        }
    }

    /// <summary>The table, as Markdown.</summary>
    public string Report()
    {
        var text = new StringBuilder($"`--training` on {DateTime.UtcNow:yyyy-MM-dd}.\n\n");
        foreach ((string name, string value) in Machine.Describe(threadCounts))
            text.Append($"- {name}: {value}\n");
        var table = new MarkdownTable(
            textColumns: 1, "network", "threads", "`nn.Linear`, ms", "`BitLinear`, ms", "ratio", "asked", "met");
        foreach (var (at, threads, dense, ternary, ratio) in results)
        {
            table.Add(
                $"{at}", $"{threads}", $"{dense * 1e3:0.0}", $"{ternary * 1e3:0.0}", $"{ratio:0.000}", $"≤ {at.Asked:0.00}",
                ratio <= at.Asked ? "yes" : "no");
        }
        return text.Append('\n').Append(table).ToString();
    }

    private sealed class Turn(TrainedNetwork network, int threads)
    {
        public TrainedNetwork Network => network;

        public int Threads => threads;

        public List<double> Seconds { get; } = [];

        // The first step of a turn wakes the threads and is not timed, where it is short enough for that to show.
        public void Take(int steps, bool isTimed)
        {
            set_num_threads(threads);
            if (steps > 1)
                network.Step();
            for (int i = 0; i < steps; i++)
            {
                long start = Stopwatch.GetTimestamp();
                network.Step();
                if (isTimed)
                    Seconds.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
            }
        }
    }
}
