using System.Runtime.InteropServices;

namespace BitLab.Core;

/// <summary>Tells Linux that this process no longer looks at some pages of a mapped file. They stay in the file cache and come back when
/// they are read again. Elsewhere nothing happens.</summary>
internal static unsafe partial class MappedPages
{
    private const int DontNeed = 4; // MADV_DONTNEED

    /// <param name="memory">Of a mapped file: other memory would be emptied.</param>
    /// <param name="byteCount">How much.</param>
    public static void Drop(byte* memory, long byteCount)
    {
        nuint page = (nuint)Environment.SystemPageSize;
        nuint first = ((nuint)memory + page - 1) & ~(page - 1), end = ((nuint)memory + (nuint)byteCount) & ~(page - 1);
        if (OperatingSystem.IsLinux() && end > first)
            _ = madvise((void*)first, end - first, DontNeed);
    }

    [LibraryImport("libc")]
    private static partial int madvise(void* address, nuint length, int advice);
}
