using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace BitLab.Core;

/// <summary>TQ1_0: blocks of 256 columns in 54 bytes, five trits a byte.</summary>
/// <remarks>
/// A byte holds base-3 digits, the first the most significant, as the fraction v / 243 in 256ths, rounded up: multiplying by 3 and
/// taking what overflows a byte gives one digit after the other. Bytes 0 to 31 hold columns m + 32 · n (n = 0 to 4), bytes 32 to 47
/// columns 160 + m + 16 · n, bytes 48 to 51 four trits each, columns 240 + j + 4 · m, then comes a 16-bit float scale.
/// </remarks>
internal static unsafe class Base3Packing
{
    public const int BlockBytes = 54;
    public const int ScaleOffset = 52;

    private const int BlockSteps = 16;

    // ceil(v · 256 / 243)
    private static readonly byte[] Fractions = [.. Enumerable.Range(0, 243).Select(v => (byte)(((v * 256) + 242) / 243))];

    public static long RowBytes(int columns) => columns / StridedPacking.TqBlockColumns * BlockBytes;

    /// <summary>Fills panels of two bits. Every byte is some five trits.</summary>
    public static void Unpack(byte* packed, PackedTernaryWeights weights, RowOrder order)
    {
        var job = new UnpackJob(packed, RowBytes(weights.Columns), weights, order);
        ThreadTeam.Run(ref job, ThreadTeam.PartsFor(weights.PackedBytes, PanelLayout.Panels(weights.Rows)));
    }

    /// <summary>Packs the trits of a row.</summary>
    public static void PackRow(ReadOnlySpan<sbyte> trits, float scale, Span<byte> bytes)
    {
        for (int column = 0; column < trits.Length; column += StridedPacking.TqBlockColumns, bytes = bytes[BlockBytes..])
        {
            ReadOnlySpan<sbyte> block = trits.Slice(column, StridedPacking.TqBlockColumns);
            for (int m = 0; m < 32; m++)
                bytes[m] = Fraction(block[m..], 32, 5);
            for (int m = 0; m < 16; m++)
                bytes[32 + m] = Fraction(block[(160 + m)..], 16, 5);
            for (int j = 0; j < 4; j++)
                bytes[48 + j] = Fraction(block[(240 + j)..], 4, 4);
            BinaryPrimitives.WriteHalfLittleEndian(bytes[ScaleOffset..], (Half)scale);
        }
    }

    /// <summary>The bytes of a block whose trits are all zero, without the scale.</summary>
    internal static bool IsZero(ReadOnlySpan<byte> block)
    {
        Span<byte> zero = stackalloc byte[BlockBytes];
        PackRow(stackalloc sbyte[StridedPacking.TqBlockColumns], 0, zero);
        return block[..ScaleOffset].SequenceEqual(zero[..ScaleOffset]);
    }

    // With four trits, the fifth digit is 0.
    private static byte Fraction(ReadOnlySpan<sbyte> trits, int stride, int count)
    {
        int value = 0;
        for (int n = 0; n < 5; n++)
            value = (3 * value) + (n < count ? trits[n * stride] + 1 : 0);
        return Fractions[value];
    }

    private readonly struct UnpackJob(byte* packed, long rowBytes, PackedTernaryWeights weights, RowOrder order) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int panels = PanelLayout.Panels(weights.Rows);
            byte** rows = stackalloc byte*[PanelLayout.PanelRows];
            for (int panel = IParallelJob.FirstOf(part, parts, panels); panel < IParallelJob.FirstOf(part + 1, parts, panels); panel++)
            {
                int first = panel * PanelLayout.PanelRows, count = Math.Min(PanelLayout.PanelRows, weights.Rows - first);
                for (int row = 0; row < PanelLayout.PanelRows; row++)
                    rows[row] = packed + (order.InFile(first + Math.Min(row, count - 1)) * rowBytes);
                fixed (byte* target = weights.Panel(panel))
                {
                    Panel(rows, weights.Columns / StridedPacking.TqBlockColumns, target);
                }
                StridedPacking.ClearPadding(weights, panel, count);
            }
        }
    }

    // Compiled at full speed at once: a model is unpacked once, before the run time would have found out.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Panel(byte** rows, int blocks, byte* target)
    {
        for (int block = 0; block < blocks; block++, target += BlockSteps * PanelLayout.StepBytes)
        {
            long offset = (long)block * BlockBytes;
            for (int row = 0; row < PanelLayout.PanelRows; row += 4)
            {
                byte* words = target + (row * sizeof(uint));
                Digits(rows + row, offset, words, 2 * PanelLayout.StepBytes);
                Digits(rows + row, offset + 16, words + PanelLayout.StepBytes, 2 * PanelLayout.StepBytes);
                Digits(rows + row, offset + 32, words + (10 * PanelLayout.StepBytes), PanelLayout.StepBytes);
                Vector128<byte> last = Vector128.Create(
                    *(uint*)(rows[row] + offset + 48), *(uint*)(rows[row + 1] + offset + 48),
                    *(uint*)(rows[row + 2] + offset + 48), *(uint*)(rows[row + 3] + offset + 48)).AsByte();
                Vector128<byte> word = TakeCode(ref last);
                word |= TakeCode(ref last) << 2;
                word |= TakeCode(ref last) << 4;
                word |= TakeCode(ref last) << 6;
                word.Store(words + (15 * PanelLayout.StepBytes));
            }
        }
    }

    // Five steps of four rows from sixteen bytes of each. What is done to bytes may be done after words are transposed.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Digits(byte** rows, long offset, byte* target, int next)
    {
        Vector128<uint> a = Vector128.Load((uint*)(rows[0] + offset)), b = Vector128.Load((uint*)(rows[1] + offset));
        Vector128<uint> c = Vector128.Load((uint*)(rows[2] + offset)), d = Vector128.Load((uint*)(rows[3] + offset));
        FieldTranspose.Words(ref a, ref b, ref c, ref d);
        Vector128<byte> first = a.AsByte(), second = b.AsByte(), third = c.AsByte(), fourth = d.AsByte();
        for (int n = 0; n < 5; n++, target += next)
        {
            Vector128<byte> word = TakeCode(ref first) | (TakeCode(ref second) << 2)
                | (TakeCode(ref third) << 4) | (TakeCode(ref fourth) << 6);
            word.Store(target);
        }
    }

    // The digit is 1 from 256 / 3 on, 2 from 512 / 3 on.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> TakeCode(ref Vector128<byte> fractions)
    {
        Vector128<byte> code = (Vector128.GreaterThanOrEqual(fractions, Vector128.Create((byte)86)) & Vector128<byte>.One)
            + (Vector128.GreaterThanOrEqual(fractions, Vector128.Create((byte)171)) & Vector128<byte>.One);
        fractions = fractions + fractions + fractions;
        return code;
    }
}
