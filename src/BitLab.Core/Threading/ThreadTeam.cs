using System.Globalization;

namespace BitLab.Core;

/// <summary>The one place where threads are started: it cuts a job into parts and runs them at the same time, on LibTorch's
/// OpenMP threads where there are some, else on its own.</summary>
/// <remarks>Several threads may ask for a team at once. All of them together get <see cref="NumThreads"/> threads, their own
/// included, and never fewer than their own, so nobody waits for a team and the machine is not crowded.</remarks>
internal static unsafe class ThreadTeam
{
    public const string EnvironmentVariable = "BITLAB_NUM_THREADS";

    // Enough for any machine; a slip of the keyboard should not start a million threads.
    private const int MaxThreads = 1024;

    // What was chosen, before the environment was looked at, and where nothing is.
    private const int NotAsked = -1, Default = 0;

    private static readonly WorkerPool Pool = new();
    private static volatile OpenMpTeam? openMp;
    private static delegate* unmanaged[SuppressGCTransition]<int> followed;
    private static int chosen = NotAsked;

    // The threads that are at work for all callers.
    private static int busy;

    /// <summary>How many threads all jobs may use together.</summary>
    public static int NumThreads
    {
        get
        {
            if (chosen == NotAsked)
                chosen = Parse(Environment.GetEnvironmentVariable(EnvironmentVariable));
            return chosen != Default ? chosen : followed != null ? followed() : Environment.ProcessorCount;
        }

        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, MaxThreads);
            chosen = value;
        }
    }

    /// <summary>What runs the parts, for people.</summary>
    public static string Description => openMp is null ? "BitLab's own pool" : "LibTorch's OpenMP team";

    /// <summary>Borrows another library's threads, and follows its number of threads as long as none was chosen.</summary>
    /// <param name="library">The library, or one that is linked to it.</param>
    /// <param name="numThreads">Its <c>int get_num_threads()</c>, or 0.</param>
    public static void Borrow(nint library, nint numThreads)
    {
        openMp = OpenMpTeam.Find(library);
        followed = (delegate* unmanaged[SuppressGCTransition]<int>)numThreads;
    }

    /// <summary>Into how many parts it is worth cutting work that goes once over some bytes.</summary>
    /// <param name="bytes">The bytes.</param>
    /// <param name="units">What cannot be cut further.</param>
    public static int PartsFor(long bytes, int units)
    {
        // Below this, waking a thread takes longer than it saves.
        const int BytesPerThread = 1 << 16;
        return (int)Math.Clamp(bytes / BytesPerThread, 1, Math.Max(1, units));
    }

    /// <summary>Does a job in at most so many parts, one a thread, and returns when all are done.</summary>
    /// <param name="job">A local variable of the caller's.</param>
    /// <param name="maxParts">Into how many parts it is worth cutting.</param>
    public static void Run<TJob>(ref TJob job, int maxParts)
        where TJob : struct, IParallelJob
    {
        int wanted = maxParts > 1 ? Math.Min(maxParts, NumThreads) : 1;
        if (wanted == 1)
        {
            job.Run(0, 1);
            return;
        }
        int busyElsewhere = Interlocked.Add(ref busy, wanted) - wanted;
        int parts = Math.Clamp(NumThreads - busyElsewhere, 1, wanted);
        if (parts < wanted)
            Interlocked.Add(ref busy, parts - wanted);
        try
        {
            if (parts == 1)
                job.Run(0, 1);
            else
                RunParts(ref job, parts);
        }
        finally
        {
            Interlocked.Add(ref busy, -parts);
        }
    }

    private static void RunParts<TJob>(ref TJob job, int parts)
        where TJob : struct, IParallelJob
    {
        TeamTask task = TeamTask.Of(ref job, parts);
        if (openMp is OpenMpTeam team)
            team.Run(ref task);
        else
            Pool.Run(ref task);
        task.ThrowIfFailed();
    }

    /// <summary>The number of threads that the environment variable asks for; 0 where it is not set.</summary>
    internal static int Parse(string? text)
    {
        if (string.IsNullOrWhiteSpace(text))
            return Default;
        if (int.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out int threads) && threads is >= 1 and <= MaxThreads)
            return threads;
        throw new BitLabException($"{EnvironmentVariable} is '{text}'; expected a whole number from 1 to {MaxThreads}.");
    }
}
