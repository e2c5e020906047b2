namespace BitLab.Core;

/// <summary>BitLab's own threads, for where there are none to borrow.</summary>
internal sealed class WorkerPool
{
    private readonly Lock gate = new();

    // Replaced as a whole under the gate, so that readers need none.
    private volatile Worker[] workers = [];

    /// <summary>Runs all parts and waits for them. The caller does the first, and those for which no worker is idle.</summary>
    public void Run(ref TeamTask task)
    {
        Worker[] all = workers.Length >= task.Parts - 1 ? workers : Grow(task.Parts - 1);
        Worker? started = null;
        int part = 1;
        for (int i = 0; i < all.Length && part < task.Parts; i++)
        {
            if (!all[i].TryStart(ref task, part))
                continue;
            all[i].StartedBefore = started;
            started = all[i];
            part++;
        }
        task.Run(0);
        for (; part < task.Parts; part++)
            task.Run(part);
        while (started is not null)
        {
            Worker? before = started.StartedBefore;
            started.WaitAndRelease();
            started = before;
        }
    }

    private Worker[] Grow(int count)
    {
        lock (gate)
        {
            if (workers.Length < count)
                workers = [.. workers, .. Enumerable.Range(workers.Length, count - workers.Length).Select(i => new Worker(i + 1))];
            return workers;
        }
    }
}
