using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace BitLab.Core;

/// <summary>A thread that does parts of tasks. It waits for its next one spinning, since the next layer of a model follows
/// soon, and after 50 microseconds sleeping.</summary>
internal sealed unsafe class Worker
{
    private static readonly long SpinTicks = Stopwatch.Frequency / 20_000;

    private readonly SemaphoreSlim wake = new(0);
    private int isClaimed;
    private int isAsleep;
    private int part;

    // The task at hand, on the stack of the thread that started it, or 0.
    private nint task;

    public Worker(int number)
    {
        new Thread(Loop) { IsBackground = true, Name = $"BitLab worker {number}" }.Start();
    }

    /// <summary>For whoever started this worker: a link to the one started before it.</summary>
    public Worker? StartedBefore { get; set; }

    /// <summary>Starts a part, unless the worker is at another task.</summary>
    public bool TryStart(ref TeamTask newTask, int newPart)
    {
        if (Volatile.Read(ref isClaimed) != 0 || Interlocked.CompareExchange(ref isClaimed, 1, 0) != 0)
            return false;
        part = newPart;
        // A full fence: the worker says that it sleeps before it looks at the task again, and here it is the other way round,
        // so that one of the two sees the other.
        Interlocked.Exchange(ref task, (nint)Unsafe.AsPointer(ref newTask));
        if (Interlocked.Exchange(ref isAsleep, 0) != 0)
            wake.Release();
        return true;
    }

    /// <summary>Waits for the part to be done and lets others have the worker.</summary>
    public void WaitAndRelease()
    {
        var spin = default(SpinWait);
        while (Volatile.Read(ref task) != 0)
            spin.SpinOnce(sleep1Threshold: -1);
        StartedBefore = null;
        Volatile.Write(ref isClaimed, 0);
    }

    private void Loop()
    {
        while (true)
        {
            WaitForTask();
            Unsafe.AsRef<TeamTask>((void*)task).Run(part);
            Volatile.Write(ref task, 0);
        }
    }

    private void WaitForTask()
    {
        long sleepAt = Stopwatch.GetTimestamp() + SpinTicks;
        while (Volatile.Read(ref task) == 0)
        {
            if (Stopwatch.GetTimestamp() < sleepAt)
            {
                Thread.SpinWait(4);
                continue;
            }
            Interlocked.Exchange(ref isAsleep, 1);
            // Where a task came in between and nobody else saw the sleeper, it wakes itself.
            if (Volatile.Read(ref task) == 0 || Interlocked.Exchange(ref isAsleep, 0) == 0)
                wake.Wait();
        }
    }
}
