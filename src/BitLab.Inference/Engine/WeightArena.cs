using System.Runtime.InteropServices;
using BitLab.Core;

namespace BitLab.Inference;

/// <summary>One piece of memory for all weights, in large pages where the system has them.</summary>
/// <remarks>Reading mapped files can be slower than reading memory: their pages are small and lie anywhere. Measured, steps of 1 to
/// 8 % less time (docs/benchmarks/inference.md). What was copied is dropped from the
/// mapping at once, so that no more is resident than the file is long.</remarks>
internal sealed unsafe class WeightArena : IDisposable
{
    private readonly NativeBuffer memory;
    private long used;

    public WeightArena(long byteCount)
    {
        memory = new NativeBuffer(byteCount, holdsWeights: true);
        HugePages.Advise(memory.Pointer, byteCount);
    }

    /// <summary>The bytes that a copy takes.</summary>
    public static long Room(long byteCount) => (byteCount + NativeBuffer.Alignment - 1) / NativeBuffer.Alignment * NativeBuffer.Alignment;

    /// <summary>The same weights here, the source disposed; or the source, where there is no room left.</summary>
    public PackedTernaryWeights Move(PackedTernaryWeights source)
    {
        if (!Fits(Room(source.PackedBytes) + Room(source.ByteCount - source.PackedBytes)))
            return source;
        using (source)
        {
            using PackedTernaryWeights.Lease lease = source.Rent();
            byte* trits = Copy(source.RentedData, source.PackedBytes, source.IsMapped);
            var scales = (float*)Copy((byte*)source.RentedScalePointer, source.ByteCount - source.PackedBytes, isMapped: false);
            return PackedTernaryWeights.Over(
                new Slice(memory, trits), trits, scales, source.Rows, source.Columns, source.Granularity, source.Packing);
        }
    }

    /// <summary>The same matrix here, the source disposed; or the source, where there is no room left.</summary>
    public DenseMatrix Move(DenseMatrix source)
    {
        if (!Fits(Room(source.ByteCount)))
            return source;
        using (source)
        {
            byte* data = Copy(source.Data, source.ByteCount, source.IsMapped);
            return new DenseMatrix(new Slice(memory, data), data, source.Type, source.Rows, source.Columns);
        }
    }

    /// <summary>The memory stays as long as anything that was moved here.</summary>
    public void Dispose() => memory.Dispose();

    // A matrix that lies at an odd address of its file was decoded to wider floats than were counted.
    private bool Fits(long room) => used + room <= memory.ByteCount;

    private byte* Copy(byte* source, long byteCount, bool isMapped)
    {
        byte* target = memory.Pointer + used;
        used += Room(byteCount);
        var job = new CopyJob(source, target, byteCount);
        ThreadTeam.Run(ref job, (int)Math.Clamp(byteCount / CopyJob.BytesPerThread, 1, ThreadTeam.NumThreads));
        if (isMapped)
            MappedPages.Drop(source, byteCount);
        return target;
    }

    private readonly struct CopyJob(byte* source, byte* target, long byteCount) : IParallelJob
    {
        public const long BytesPerThread = 1 << 18;

        public void Run(int part, int parts)
        {
            long first = byteCount * part / parts, end = byteCount * (part + 1) / parts;
            Buffer.MemoryCopy(source + first, target + first, end - first, end - first);
        }
    }

    // Keeps the memory for one of those who are in it.
    private sealed class Slice : SafeHandle
    {
        private readonly NativeBuffer memory;

        public Slice(NativeBuffer memory, byte* at)
            : base(invalidHandleValue: 0, ownsHandle: true)
        {
            bool added = false;
            memory.DangerousAddRef(ref added);
            this.memory = memory;
            SetHandle((nint)at);
        }

        public override bool IsInvalid => handle == 0;

        protected override bool ReleaseHandle()
        {
            memory.DangerousRelease();
            return true;
        }
    }
}
