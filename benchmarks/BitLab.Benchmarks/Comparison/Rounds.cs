using System.Diagnostics;

namespace BitLab.Benchmarks;

/// <summary>Times contestants in turn.</summary>
/// <remarks>In a round each is timed once, for a block of iterations; what else happens on the machine then meets all alike,
/// where one after the other would meet one. Before a block there is silence, until the workers that LibTorch and ONNX
/// Runtime leave spinning, some 30 ms long, sleep and take no core from another contestant.</remarks>
internal static class Rounds
{
    private const int MaxIterations = 10_000;
    private const int SilenceMilliseconds = 4;
    private const int SilenceTries = 25;

    // Before a block, iterations that are not timed bring the weights back into the cache (measured: 5 or so) and wake the
    // workers. Long iterations need none: neither would show.
    private const int UntimedIterations = 8;
    private const double UntimedSeconds = 0.03;

    /// <summary>The median seconds of an iteration, for each contestant and number of threads.</summary>
    public static Dictionary<(Contestant Contestant, int Threads), double> Measure(
        IEnumerable<Contestant> contestants, IReadOnlyList<int> threadCounts, Plan plan)
    {
        List<Block> blocks = [.. from contestant in contestants
                                 from threads in threadCounts
                                 select new Block(contestant, threads)];
        foreach (Block block in blocks)
            block.Calibrate(plan.BlockSeconds);
        for (int round = 0; round < plan.Rounds; round++)
        {
            // Not always behind the same neighbour.
            for (int i = 0; i < blocks.Count; i++)
                blocks[((round % 2 == 0 ? i : blocks.Count - 1 - i) + round) % blocks.Count].Time();
        }
        return blocks.ToDictionary(block => (block.Contestant, block.Threads), block => Statistics.Median(block.Seconds));
    }

    // Until this process uses next to nothing of the CPU.
    private static void AwaitSilence()
    {
        using var process = Process.GetCurrentProcess();
        TimeSpan before = process.TotalProcessorTime;
        for (int i = 0; i < SilenceTries; i++)
        {
            Thread.Sleep(SilenceMilliseconds);
            process.Refresh();
            TimeSpan now = process.TotalProcessorTime;
            if ((now - before).TotalMilliseconds < SilenceMilliseconds / 4.0)
                return;
            before = now;
        }
    }

    private sealed class Block(Contestant contestant, int threads)
    {
        private int iterations = 1;
        private int untimed;

        public Contestant Contestant => contestant;

        public int Threads => threads;

        public List<double> Seconds { get; } = [];

        public void Calibrate(double blockSeconds)
        {
            contestant.SetThreads(threads);
            AwaitSilence();
            contestant.Run(1);
            double seconds = SecondsOf(1);
            if (seconds < blockSeconds)
            {
                int some = Iterations(blockSeconds / 4 / seconds);
                seconds = SecondsOf(some) / some;
            }
            iterations = Iterations(blockSeconds / seconds);
            untimed = (int)Math.Min(Math.Max(UntimedIterations, iterations / 4), UntimedSeconds / seconds);
        }

        public void Time()
        {
            contestant.SetThreads(threads);
            AwaitSilence();
            contestant.Run(untimed);
            Seconds.Add(SecondsOf(iterations) / iterations);
        }

        private static int Iterations(double count) => (int)Math.Clamp(Math.Ceiling(count), 1, MaxIterations);

        private double SecondsOf(int count)
        {
            long start = Stopwatch.GetTimestamp();
            contestant.Run(count);
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
    }
}
