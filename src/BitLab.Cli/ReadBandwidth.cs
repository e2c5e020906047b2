using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace BitLab.Cli;

/// <summary>How fast this machine reads memory.</summary>
internal static unsafe class ReadBandwidth
{
    // Larger than any cache.
    private const long BytesPerThread = 256L << 20;
    private const int Rounds = 5;

    /// <summary>Bytes a second that some threads read together, the best of some rounds.</summary>
    public static double Measure(int threads)
    {
        byte* memory = (byte*)NativeMemory.AlignedAlloc((nuint)(BytesPerThread * threads), 64);
        try
        {
            NativeMemory.Fill(memory, (nuint)(BytesPerThread * threads), 1);
            double best = 0;
            for (int round = 0; round < Rounds; round++)
                best = Math.Max(best, Round(memory, threads));
            return best;
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
        }
    }

    private static double Round(byte* memory, int threads)
    {
        using var together = new Barrier(threads + 1);
        long[] sums = new long[threads];
        var workers = new Thread[threads];
        for (int i = 0; i < threads; i++)
        {
            int part = i;
            byte* own = memory + (part * BytesPerThread);
            workers[i] = new Thread(() =>
            {
                together.SignalAndWait();
                sums[part] = Sum(own);
            });
            workers[i].Start();
        }
        together.SignalAndWait();
        long start = Stopwatch.GetTimestamp();
        foreach (Thread worker in workers)
            worker.Join();
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        GC.KeepAlive(sums);
        return BytesPerThread * threads / seconds;
    }

    private static long Sum(byte* memory)
    {
        Vector512<long> a = default, b = default, c = default, d = default;
        for (long at = 0; at < BytesPerThread; at += 256)
        {
            a += Vector512.Load((long*)(memory + at));
            b += Vector512.Load((long*)(memory + at + 64));
            c += Vector512.Load((long*)(memory + at + 128));
            d += Vector512.Load((long*)(memory + at + 192));
        }
        return Vector512.Sum(a + b + c + d);
    }
}
