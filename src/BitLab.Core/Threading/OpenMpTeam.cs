using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BitLab.Core;

/// <summary>Another library's OpenMP threads, borrowed through the functions that GCC's compiled code calls.</summary>
/// <remarks>LibTorch's threads spin for a while after each of its operations, so a second team beside them would find no free
/// processor; and a team that spins already starts at once.</remarks>
internal sealed unsafe class OpenMpTeam
{
    private static delegate* unmanaged<delegate* unmanaged<void*, void>, void*, uint, uint, void> parallel;
    private static delegate* unmanaged[SuppressGCTransition]<int> threadNumber;
    private static delegate* unmanaged[SuppressGCTransition]<int> threadCount;

    private OpenMpTeam()
    {
    }

    /// <summary>The team of a loaded library, or null where it has none that can be borrowed.</summary>
    /// <param name="library">The library, or one that is linked to it.</param>
    public static OpenMpTeam? Find(nint library)
    {
        if (!NativeLibrary.TryGetExport(library, "GOMP_parallel", out nint start)
            || !NativeLibrary.TryGetExport(library, "omp_get_thread_num", out nint number)
            || !NativeLibrary.TryGetExport(library, "omp_get_num_threads", out nint count))
            return null;
        threadNumber = (delegate* unmanaged[SuppressGCTransition]<int>)number;
        threadCount = (delegate* unmanaged[SuppressGCTransition]<int>)count;
        parallel = (delegate* unmanaged<delegate* unmanaged<void*, void>, void*, uint, uint, void>)start;
        return new OpenMpTeam();
    }

    /// <summary>Runs all parts, a thread for each, and waits for them.</summary>
#pragma warning disable CA1822 // There is a team only where Find found one.
    public void Run(ref TeamTask task) => parallel(&RunParts, Unsafe.AsPointer(ref task), (uint)task.Parts, 0);
#pragma warning restore CA1822

    // OpenMP may grant fewer threads than were asked for, as it does inside another parallel region.
    [UnmanagedCallersOnly]
    private static void RunParts(void* task)
    {
        ref TeamTask parts = ref Unsafe.AsRef<TeamTask>(task);
        int threads = threadCount();
        for (int part = threadNumber(); part < parts.Parts; part += threads)
            parts.Run(part);
    }
}
