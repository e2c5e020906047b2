using System.Runtime.InteropServices;

namespace BitLab.Core.Tests;

/// <summary>Memory whose last byte is followed by a page that nobody may read or write, so that one byte too far ends the
/// process; and where no page can be protected, by bytes that are checked on disposal.</summary>
internal sealed unsafe class GuardedMemory : IDisposable
{
    private const int Canary = 0xA5;
    private const int CanaryBytes = 256;
    private const int ReadWrite = 3, PrivateAnonymous = 0x22;

    private static readonly int PageSize = Environment.SystemPageSize;

    private readonly byte* memory;
    private readonly nuint mapped;
    private readonly long byteCount;

    /// <param name="byteCount">Usable bytes.</param>
    /// <param name="alignment">The start is aligned to this; up to alignment - 1 bytes then lie before the guard.</param>
    public GuardedMemory(long byteCount, int alignment = 1)
    {
        this.byteCount = byteCount;
        if (OperatingSystem.IsLinux())
        {
            nuint usable = (nuint)((byteCount + alignment + PageSize - 1) / PageSize * PageSize);
            mapped = usable + (nuint)PageSize;
            memory = (byte*)mmap(0, mapped, ReadWrite, PrivateAnonymous, -1, 0);
            Assert.Equal(0, mprotect((nint)(memory + usable), (nuint)PageSize, 0));
            byte* start = memory + usable - byteCount;
            Pointer = start - ((nuint)start % (nuint)alignment);
        }
        else
        {
            memory = (byte*)NativeMemory.AlignedAlloc((nuint)(byteCount + CanaryBytes), 64);
            Pointer = memory;
            new Span<byte>(Pointer + byteCount, CanaryBytes).Fill(Canary);
        }
    }

    public byte* Pointer { get; }

    public Span<float> Floats => new(Pointer, (int)(byteCount / sizeof(float)));

    public void Dispose()
    {
        if (mapped != 0)
        {
            munmap((nint)memory, mapped);
            return;
        }
        Assert.Equal(-1, new Span<byte>(Pointer + byteCount, CanaryBytes).IndexOfAnyExcept((byte)Canary));
        NativeMemory.AlignedFree(memory);
    }

    [DllImport("libc")]
    private static extern nint mmap(nint address, nuint length, int protection, int flags, int file, nint offset);

    [DllImport("libc")]
    private static extern int mprotect(nint address, nuint length, int protection);

    [DllImport("libc")]
    private static extern int munmap(nint address, nuint length);
}
