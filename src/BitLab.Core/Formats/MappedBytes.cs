using System.Runtime.InteropServices;

namespace BitLab.Core;

/// <summary>Some bytes of a memory-mapped file, which stay readable until this is disposed, even if the file's reader is
/// disposed before.</summary>
public sealed unsafe class MappedBytes : SafeHandle
{
    private readonly MappedFile file;

    internal MappedBytes(MappedFile file, long offset, long byteCount)
        : base(invalidHandleValue: 0, ownsHandle: true)
    {
        bool added = false;
        file.DangerousAddRef(ref added);
        this.file = file;
        ByteCount = byteCount;
        SetHandle((nint)(file.Pointer + offset));
    }

    /// <summary>How many bytes there are.</summary>
    public long ByteCount { get; }

    /// <summary>The first byte; read only, and as long as this is not disposed.</summary>
    public byte* Pointer => (byte*)handle;

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Some of the bytes, where they lie. The span must not be used after <see cref="SafeHandle.Dispose()"/>.</summary>
    /// <param name="offset">The first.</param>
    /// <param name="length">How many.</param>
    /// <returns>The bytes.</returns>
    /// <exception cref="ArgumentOutOfRangeException">They are not all within these bytes.</exception>
    /// <exception cref="ObjectDisposedException">This is disposed.</exception>
    public ReadOnlySpan<byte> Slice(long offset, int length)
    {
        ObjectDisposedException.ThrowIf(IsClosed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, ByteCount - length);
        return new ReadOnlySpan<byte>(Pointer + offset, length);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        file.DangerousRelease();
        return true;
    }
}
