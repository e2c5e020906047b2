using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace BitLab.Core;

/// <summary>A file as memory, read only. It stays mapped as long as anyone holds it.</summary>
/// <remarks>The pages are those of the system's file cache: opening reads nothing. Who truncates a mapped file takes the
/// memory away, which ends the process; BitLab's own writers replace files and never change them.</remarks>
internal sealed unsafe class MappedFile : SafeHandle
{
    private readonly SafeMemoryMappedViewHandle view;

    private MappedFile(SafeMemoryMappedViewHandle view, byte* pointer, long byteCount)
        : base(invalidHandleValue: 0, ownsHandle: true)
    {
        this.view = view;
        ByteCount = byteCount;
        SetHandle((nint)pointer);
    }

    public long ByteCount { get; }

    public override bool IsInvalid => handle == 0;

    public byte* Pointer => (byte*)handle;

    /// <summary>Maps a whole file.</summary>
    /// <param name="file">The file, open for reading; it may be closed afterwards.</param>
    /// <param name="byteCount">Its length, at least 1.</param>
    public static MappedFile Of(SafeFileHandle file, long byteCount)
    {
        using var mapping = MemoryMappedFile.CreateFromFile(
            file, mapName: null, capacity: 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
        using MemoryMappedViewAccessor accessor = mapping.CreateViewAccessor(0, byteCount, MemoryMappedFileAccess.Read);
        SafeMemoryMappedViewHandle view = accessor.SafeMemoryMappedViewHandle;
        byte* pointer = null;
        // What is acquired outlives the accessor.
        view.AcquirePointer(ref pointer);
        return new MappedFile(view, pointer + accessor.PointerOffset, byteCount);
    }

    protected override bool ReleaseHandle()
    {
        view.ReleasePointer();
        return true;
    }
}
