using System.Diagnostics;
using System.Runtime.InteropServices;

namespace BitLab.Benchmarks;

/// <summary>How fast this machine reads memory and multiplies int8, measured several times in a run; the medians
/// count.</summary>
internal sealed unsafe class MachineLimits : IDisposable
{
    private const long BufferBytes = 256 << 20;
    private const nuint HugePage = 2 << 20;
    private const int ReadPasses = 6;
    private const double DotSeconds = 0.05;

    private readonly Dictionary<int, List<double>> bandwidths = [];
    private readonly Dictionary<(int Threads, DotInstruction Instruction), List<double>> peaks = [];
    private readonly long* buffer;

    public MachineLimits()
    {
        if (!LimitsLibrary.IsAvailable)
            return;
        buffer = (long*)NativeMemory.AlignedAlloc((nuint)BufferBytes, HugePage);
        LimitsLibrary.limits_use_huge_pages(buffer, BufferBytes);
        new Span<long>(buffer, (int)(BufferBytes / sizeof(long))).Fill(1);
    }

    /// <summary>Measures once more. Without the native library: nothing.</summary>
    public void Measure(IEnumerable<int> threadCounts)
    {
        if (!LimitsLibrary.IsAvailable)
            return;
        foreach (int threads in threadCounts)
        {
            Add(bandwidths, threads, MeasureBandwidth(threads));
            foreach (DotInstruction instruction in LimitsLibrary.DotInstructions)
                Add(peaks, (threads, instruction), MeasurePeak(threads, instruction));
        }
    }

    /// <summary>Bytes a second, or null: not measured.</summary>
    public double? Bandwidth(int threads) => bandwidths.TryGetValue(threads, out List<double>? samples)
        ? Statistics.Median(samples)
        : null;

    /// <summary>Operations a second, two for each product, or null: not measured.</summary>
    public double? DotPeak(int threads, DotInstruction instruction) =>
        peaks.TryGetValue((threads, instruction), out List<double>? samples) ? Statistics.Median(samples) : null;

    /// <summary>The peak of the machine's fastest instruction.</summary>
    public double? DotPeak(int threads) =>
        LimitsLibrary.DotInstructions.Select(instruction => DotPeak(threads, instruction)).Max();

    public void Dispose() => NativeMemory.AlignedFree(buffer);

    private double MeasureBandwidth(int threads)
    {
        // A multiple of what the library reads at once.
        long part = BufferBytes / threads / 4096 * 4096;
        double seconds = Enumerable.Range(0, ReadPasses)
            .Min(_ => Seconds(threads, thread => LimitsLibrary.limits_read(buffer + (thread * part / sizeof(long)), part)));
        return threads * part / seconds;
    }

    private static double MeasurePeak(int threads, DotInstruction instruction)
    {
        long steps = 10_000;
        double seconds;
        while ((seconds = Seconds(threads, _ => LimitsLibrary.limits_dot(instruction, steps))) < DotSeconds)
            steps = (long)(steps * Math.Clamp(1.1 * DotSeconds / seconds, 1.1, 100));
        return 2.0 * LimitsLibrary.limits_products(instruction) * steps * threads / seconds;
    }

    /// <summary>From the moment when all threads are ready until the last is done.</summary>
    private static double Seconds(int threads, Action<int> work)
    {
        int ready = 0;
        var starts = new long[threads];
        var ends = new long[threads];
        void Body(int thread)
        {
            Interlocked.Increment(ref ready);
            while (Volatile.Read(ref ready) < threads)
                Thread.SpinWait(1);
            starts[thread] = Stopwatch.GetTimestamp();
            work(thread);
            ends[thread] = Stopwatch.GetTimestamp();
        }

        Thread[] others = [.. Enumerable.Range(1, threads - 1).Select(thread => new Thread(() => Body(thread)))];
        foreach (Thread other in others)
            other.Start();
        Body(0);
        foreach (Thread other in others)
            other.Join();
        return Stopwatch.GetElapsedTime(starts.Min(), ends.Max()).TotalSeconds;
    }

    private static void Add<TKey>(Dictionary<TKey, List<double>> samples, TKey key, double value)
        where TKey : notnull
    {
        if (!samples.TryGetValue(key, out List<double>? list))
            samples.Add(key, list = []);
        list.Add(value);
    }
}
