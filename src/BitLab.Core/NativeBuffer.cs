using System.Runtime.InteropServices;

namespace BitLab.Core;

/// <summary>Some native memory at a 64-byte boundary: the width of a cache line and of the widest vector.</summary>
/// <remarks>A SafeHandle, so that memory that one thread disposes while another multiplies is freed after the
/// multiplication.</remarks>
internal sealed unsafe class NativeBuffer : SafeHandle
{
    public const int Alignment = 64;

    private static long weightBytesHeld;

    private readonly bool holdsWeights;

    public NativeBuffer(long byteCount, bool holdsWeights)
        : base(invalidHandleValue: 0, ownsHandle: true)
    {
        ByteCount = byteCount;
        this.holdsWeights = holdsWeights;
        SetHandle((nint)NativeMemory.AlignedAlloc((nuint)byteCount, Alignment));
        GC.AddMemoryPressure(byteCount);
        if (holdsWeights)
            Interlocked.Add(ref weightBytesHeld, byteCount);
    }

    /// <summary>The bytes of all weights that are not freed yet.</summary>
    public static long WeightBytesHeld => Interlocked.Read(ref weightBytesHeld);

    public long ByteCount { get; }

    public override bool IsInvalid => handle == 0;

    public byte* Pointer => (byte*)handle;

    protected override bool ReleaseHandle()
    {
        NativeMemory.AlignedFree((void*)handle);
        GC.RemoveMemoryPressure(ByteCount);
        if (holdsWeights)
            Interlocked.Add(ref weightBytesHeld, -ByteCount);
        return true;
    }
}
