using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace BitLab.Core;

/// <summary>The scales of llama.cpp's ternary blocks. The formats allow one for each 256 trits; ternary weights have one for the matrix or
/// one a row.</summary>
internal static unsafe class BlockScales
{
    /// <summary>Reads the scales of all blocks.</summary>
    /// <param name="bytes">The tensor.</param>
    /// <param name="encoding">TQ1_0 or TQ2_0.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns, a multiple of 256.</param>
    /// <param name="order">The order of the rows in the file.</param>
    /// <param name="fault">What is wrong, where the result is empty.</param>
    /// <returns>One scale, or one a row.</returns>
    public static float[] Read(MappedBytes bytes, TensorEncoding encoding, int rows, int columns, RowOrder order, out string? fault)
    {
        int blockBytes = encoding == TensorEncoding.TQ1_0 ? Base3Packing.BlockBytes : StridedPacking.Tq2BlockBytes;
        int rowBytes = columns / StridedPacking.TqBlockColumns * blockBytes;
        float[] scales = new float[rows];
        fixed (float* found = scales)
        {
            var job = new ReadJob(bytes.Pointer, encoding, rows, rowBytes, blockBytes, order, found);
            ThreadTeam.Run(ref job, ThreadTeam.PartsFor(bytes.ByteCount, rows));
        }
        fault = null;
        int bad = Array.FindIndex(scales, float.IsNaN);
        if (bad >= 0)
        {
            RowScale(bytes.Slice((long)order.InFile(bad) * rowBytes, rowBytes), encoding, blockBytes, out fault);
            fault = $"row {bad} {fault}";
            return [];
        }
        // Rows of zeros are worth the same with any scale.
        float common = Array.Find(scales, scale => scale != 0);
        return Array.TrueForAll(scales, scale => scale == 0 || scale == common) ? [common] : scales;
    }

    private readonly struct ReadJob(
        byte* bytes, TensorEncoding encoding, int rows, int rowBytes, int blockBytes, RowOrder order, float* scales) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            for (int row = IParallelJob.FirstOf(part, parts, rows); row < IParallelJob.FirstOf(part + 1, parts, rows); row++)
            {
                var stored = new ReadOnlySpan<byte>(bytes + ((long)order.InFile(row) * rowBytes), rowBytes);
                scales[row] = RowScale(stored, encoding, blockBytes, out _);
            }
        }
    }

    // The scale of all blocks but those of zeros, to which llama.cpp gives the scale 0; NaN where something is wrong.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float RowScale(ReadOnlySpan<byte> row, TensorEncoding encoding, int blockBytes, out string? fault)
    {
        fault = null;
        float scale = 0;
        ushort seen = 0;
        for (; !row.IsEmpty; row = row[blockBytes..])
        {
            ushort bits = BinaryPrimitives.ReadUInt16LittleEndian(row[(blockBytes - sizeof(ushort))..]);
            if (bits == seen && bits != 0)
                continue;
            float block = (float)BitConverter.UInt16BitsToHalf(bits);
            if (!float.IsFinite(block))
                fault = $"has a block with the scale {block}";
            else if (block == 0 && !IsZero(row[..blockBytes], encoding))
                fault = "has a block with the scale 0 whose trits are not zero";
            else if (block != 0 && scale != 0)
                fault = $"has blocks with the scales {scale} and {block}, where ternary weights have one a row";
            if (fault is not null)
                return float.NaN;
            if (block != 0)
                (scale, seen) = (block, bits);
        }
        return scale;
    }

    private static bool IsZero(ReadOnlySpan<byte> block, TensorEncoding encoding) => encoding == TensorEncoding.TQ1_0
        ? Base3Packing.IsZero(block)
        : !block[..^sizeof(ushort)].ContainsAnyExcept(PanelLayout.ZeroByte);
}
