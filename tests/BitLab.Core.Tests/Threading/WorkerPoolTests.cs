namespace BitLab.Core.Tests;

public class WorkerPoolTests
{
    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(7), InlineData(16)]
    public void Every_part_runs_once(int parts)
    {
        var pool = new WorkerPool();
        for (int round = 0; round < 200; round++)
        {
            var job = new CountingJob(new int[parts]);
            TeamTask task = TeamTask.Of(ref job, parts);
            pool.Run(ref task);
            Assert.All(job.Runs, runs => Assert.Equal(1, runs));
        }
    }

    [Fact]
    public void Parts_run_at_the_same_time()
    {
        var job = new MeetingJob(new Barrier(3));
        TeamTask task = TeamTask.Of(ref job, 3);
        new WorkerPool().Run(ref task);
        task.ThrowIfFailed();
    }

    [Fact]
    public void Workers_that_fell_asleep_wake_up()
    {
        var pool = new WorkerPool();
        for (int pause = 0; pause < 20; pause++)
        {
            var job = new MeetingJob(new Barrier(2));
            TeamTask task = TeamTask.Of(ref job, 2);
            pool.Run(ref task);
            task.ThrowIfFailed();
            Thread.Sleep(pause % 3);
        }
    }

    [Fact]
    public void Several_callers_at_once_all_finish()
    {
        var pool = new WorkerPool();
        Parallel.For(0, 8, new ParallelOptions { MaxDegreeOfParallelism = 8 }, _ =>
        {
            for (int round = 0; round < 500; round++)
            {
                var job = new CountingJob(new int[4]);
                TeamTask task = TeamTask.Of(ref job, 4);
                pool.Run(ref task);
                Assert.All(job.Runs, runs => Assert.Equal(1, runs));
            }
        });
    }

    [Theory, InlineData(0), InlineData(2)]
    public void An_error_in_a_part_is_the_callers(int failing)
    {
        var job = new FailingJob(failing);
        TeamTask task = TeamTask.Of(ref job, 3);
        new WorkerPool().Run(ref task);
        TeamTask failed = task;
        Assert.Equal($"part {failing}", Assert.Throws<InvalidOperationException>(() => failed.ThrowIfFailed()).Message);
    }

    private readonly struct CountingJob(int[] runs) : IParallelJob
    {
        public int[] Runs => runs;

        public void Run(int part, int parts) => Interlocked.Increment(ref runs[part]);
    }

    private readonly struct MeetingJob(Barrier barrier) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            if (!barrier.SignalAndWait(TimeSpan.FromSeconds(20)))
                throw new TimeoutException("The parts did not run at the same time.");
        }
    }

    private readonly struct FailingJob(int failing) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            if (part == failing)
                throw new InvalidOperationException($"part {part}");
        }
    }
}
