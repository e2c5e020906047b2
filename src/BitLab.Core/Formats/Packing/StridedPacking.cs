using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace BitLab.Core;

/// <summary>Packings of which 32 bytes hold 128 columns of a row, a byte holding four columns 32 apart.</summary>
/// <remarks>
/// I2_S: rows follow each other; the first of the four columns is in the highest bits. The scale, a float, lies behind all rows, in
/// 32 bytes of its own.
/// TQ2_0: blocks of 256 columns have 64 such bytes, the first column in the lowest bits, and a 16-bit float scale.
/// </remarks>
internal static unsafe class StridedPacking
{
    public const int GroupColumns = 128;
    public const int GroupBytes = 32;
    public const int I2TailBytes = 32;
    public const int Tq2BlockBytes = 66;
    public const int TqBlockColumns = 256;

    /// <summary>The bytes of the trits of a row.</summary>
    public static long RowBytes(TensorEncoding encoding, int columns) => encoding == TensorEncoding.I2_S
        ? columns / GroupColumns * GroupBytes
        : columns / TqBlockColumns * Tq2BlockBytes;

    /// <summary>Fills panels of two bits.</summary>
    /// <returns>Whether every code was one of three; I2_S's fourth code is taken as zero, as its readers do.</returns>
    public static bool Unpack(byte* packed, TensorEncoding encoding, PackedTernaryWeights weights, RowOrder order)
    {
        int isBad = 0;
        var job = new UnpackJob(packed, encoding == TensorEncoding.I2_S, RowBytes(encoding, weights.Columns), weights, order, &isBad);
        ThreadTeam.Run(ref job, ThreadTeam.PartsFor(weights.PackedBytes, PanelLayout.Panels(weights.Rows)));
        return isBad == 0;
    }

    /// <summary>Packs the trits of a row.</summary>
    public static void PackRow(TensorEncoding encoding, ReadOnlySpan<sbyte> trits, float scale, Span<byte> bytes)
    {
        bool isI2 = encoding == TensorEncoding.I2_S;
        for (int column = 0; column < trits.Length; column += GroupColumns)
        {
            ReadOnlySpan<sbyte> group = trits.Slice(column, GroupColumns);
            Vector256<byte> packed = default;
            for (int lane = 0; lane < 4; lane++)
            {
                Vector256<byte> codes = (Vector256.Create(group.Slice(GroupBytes * lane, GroupBytes)) + Vector256<sbyte>.One).AsByte();
                packed |= codes << (2 * (isI2 ? 3 - lane : lane));
            }
            packed.CopyTo(bytes);
            bytes = bytes[GroupBytes..];
            if (!isI2 && column % TqBlockColumns != 0)
            {
                System.Buffers.Binary.BinaryPrimitives.WriteHalfLittleEndian(bytes, (Half)scale);
                bytes = bytes[sizeof(ushort)..];
            }
        }
    }

    private readonly struct UnpackJob(
        byte* packed, bool isI2, long rowBytes, PackedTernaryWeights weights, RowOrder order, int* isBad) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int panels = PanelLayout.Panels(weights.Rows);
            byte** rows = stackalloc byte*[PanelLayout.PanelRows];
            for (int panel = IParallelJob.FirstOf(part, parts, panels); panel < IParallelJob.FirstOf(part + 1, parts, panels); panel++)
            {
                int first = panel * PanelLayout.PanelRows, count = Math.Min(PanelLayout.PanelRows, weights.Rows - first);
                // Rows that the matrix lacks are packed from the last one and overwritten.
                for (int row = 0; row < PanelLayout.PanelRows; row++)
                    rows[row] = packed + (order.InFile(first + Math.Min(row, count - 1)) * rowBytes);
                fixed (byte* target = weights.Panel(panel))
                {
                    if (!Panel(rows, weights.Columns / GroupColumns, isI2, target))
                        *isBad = 1;
                }
                ClearPadding(weights, panel, count);
            }
        }
    }

    // Compiled at full speed at once: a model is unpacked once, before the run time would have found out.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool Panel(byte** rows, int groups, bool isI2, byte* target)
    {
        const int GroupSteps = GroupColumns / PanelLayout.StepColumns;
        // The steps of the byte's fields, from the lowest bits up, follow each other or come in reverse.
        int firstField = isI2 ? 6 * PanelLayout.StepBytes : 0, nextField = (isI2 ? -2 : 2) * PanelLayout.StepBytes;
        Vector128<uint> bad = default;
        for (int group = 0; group < groups; group++, target += GroupSteps * PanelLayout.StepBytes)
        {
            long offset = isI2 ? (long)group * GroupBytes : ((long)group / 2 * Tq2BlockBytes) + (group % 2 * GroupBytes);
            for (int half = 0; half < 2; half++, offset += Vector128<byte>.Count)
            {
                byte* words = target + (half * PanelLayout.StepBytes) + firstField;
                for (int row = 0; row < PanelLayout.PanelRows; row += 4, words += 4 * sizeof(uint))
                {
                    Vector128<uint> a = Load(rows[row] + offset, ref bad), b = Load(rows[row + 1] + offset, ref bad);
                    Vector128<uint> c = Load(rows[row + 2] + offset, ref bad), d = Load(rows[row + 3] + offset, ref bad);
                    FieldTranspose.Words(ref a, ref b, ref c, ref d);
                    FieldTranspose.Fields(ref a, ref b, ref c, ref d);
                    a.Store((uint*)words);
                    b.Store((uint*)(words + nextField));
                    c.Store((uint*)(words + (2 * nextField)));
                    d.Store((uint*)(words + (3 * nextField)));
                }
            }
        }
        return isI2 || bad == default;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Load(byte* from, ref Vector128<uint> bad)
    {
        Vector128<uint> codes = Vector128.Load(from).AsUInt32();
        Vector128<uint> fourth = codes & (codes >>> 1) & Vector128.Create(PanelLayout.ZeroWord);
        bad |= fourth;
        // 3 to 1, the zero trit.
        return codes ^ (fourth << 1);
    }

    /// <summary>Makes the rows that a panel lacks zero.</summary>
    internal static void ClearPadding(PackedTernaryWeights weights, int panel, int count)
    {
        if (count == PanelLayout.PanelRows)
            return;
        Span<byte> bytes = weights.Panel(panel);
        for (int at = 0; at < bytes.Length; at += PanelLayout.StepBytes)
            bytes.Slice(at + (count * sizeof(uint)), (PanelLayout.PanelRows - count) * sizeof(uint)).Fill(PanelLayout.ZeroByte);
    }
}
