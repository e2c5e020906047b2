using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace BitLab.Core;

/// <summary>A job as the threads of a team see it. It lies on the stack of the thread that started it, which waits until the
/// last part is done.</summary>
internal unsafe struct TeamTask
{
    private readonly void* job;
    private readonly delegate*<void*, int, int, void> run;
    private ExceptionDispatchInfo? error;

    private TeamTask(void* job, delegate*<void*, int, int, void> run, int parts)
    {
        this.job = job;
        this.run = run;
        Parts = parts;
    }

    public int Parts { get; }

    /// <param name="job">A local variable of the caller's, so that it does not move.</param>
    public static TeamTask Of<TJob>(ref TJob job, int parts)
        where TJob : struct, IParallelJob
        => new(Unsafe.AsPointer(ref job), &RunPart<TJob>, parts);

    /// <summary>Does one part. An error is kept for the thread that started the task: the others are not ours to end.</summary>
    public void Run(int part)
    {
        try
        {
            run(job, part, Parts);
        }
#pragma warning disable CA1031 // Whatever it is, it is thrown by ThrowIfFailed.
        catch (Exception caught)
#pragma warning restore CA1031
        {
            error = ExceptionDispatchInfo.Capture(caught);
        }
    }

    public readonly void ThrowIfFailed() => error?.Throw();

    private static void RunPart<TJob>(void* job, int part, int parts)
        where TJob : struct, IParallelJob
        => Unsafe.AsRef<TJob>(job).Run(part, parts);
}
