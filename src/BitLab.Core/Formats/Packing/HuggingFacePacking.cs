using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace BitLab.Core;

/// <summary>Hugging Face's packed trits: of a matrix of N rows, with q = ceil(N / 4), byte (r, c) holds the codes of rows r, q + r,
/// 2 · q + r and 3 · q + r in column c, from its lowest bits to its highest.</summary>
internal static unsafe class HuggingFacePacking
{
    /// <summary>The bytes a matrix takes.</summary>
    public static long ByteCount(int rows, int columns) => (long)Quarter(rows) * columns;

    /// <summary>The rows of bytes: a quarter of the rows, rounded up.</summary>
    public static int Quarter(int rows) => (int)(((long)rows + 3) / 4);

    /// <summary>Fills the panels of weights of two bits.</summary>
    /// <returns>Whether every code was one of three.</returns>
    public static bool Unpack(byte* packed, PackedTernaryWeights weights)
    {
        int groups = PanelLayout.Panels(Quarter(weights.Rows));
        int isBad = 0;
        var job = new UnpackJob(packed, weights, groups, &isBad);
        ThreadTeam.Run(ref job, ThreadTeam.PartsFor(weights.PackedBytes, groups));
        return isBad == 0;
    }

    // 32 rows of bytes at a time, so that what is written of a panel is written whole.
    private readonly struct UnpackJob(byte* packed, PackedTernaryWeights weights, int groups, int* isBad) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int quarter = Quarter(weights.Rows);
            for (int group = IParallelJob.FirstOf(part, parts, groups); group < IParallelJob.FirstOf(part + 1, parts, groups); group++)
            {
                int first = group * PanelLayout.PanelRows, end = Math.Min(first + PanelLayout.PanelRows, quarter);
                // Else four rows need not lie side by side in a panel.
                bool isSound = weights.Rows % 16 == 0
                    ? UnpackFours(packed, weights, first, end)
                    : UnpackOnes(packed, weights, first, end);
                if (!isSound)
                    *isBad = 1;
            }
        }
    }

    // Compiled at full speed at once: a model is unpacked once, before the run time would have found out.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool UnpackFours(byte* packed, PackedTernaryWeights weights, int first, int end)
    {
        int columns = weights.Columns, quarter = Quarter(weights.Rows), fours = (end - first) / 4;
        // Where the words of each four rows are, for each of the fields.
        byte** words = stackalloc byte*[PanelLayout.PanelRows];
        for (int i = 0; i < 4 * fours; i++)
            words[i] = weights.RentedData + PanelLayout.RowOffset(first + (i / 4 * 4) + (i % 4 * quarter), columns);
        Vector128<uint> bad = default;
        for (int column = 0; column < columns; column += PanelLayout.StepColumns)
        {
            byte* from = packed + ((long)first * columns) + column;
            int count = Math.Min(PanelLayout.StepColumns, columns - column);
            long step = (long)column / PanelLayout.StepColumns * PanelLayout.StepBytes;
            for (int four = 0; four < fours; four++, from += 4L * columns)
            {
                Vector128<uint> a = Load(from, count), b = Load(from + columns, count);
                Vector128<uint> c = Load(from + (2L * columns), count), d = Load(from + (3L * columns), count);
                bad |= (a & (a >>> 1)) | (b & (b >>> 1)) | (c & (c >>> 1)) | (d & (d >>> 1));
                FieldTranspose.Words(ref a, ref b, ref c, ref d);
                FieldTranspose.Fields(ref a, ref b, ref c, ref d);
                a.Store((uint*)(words[4 * four] + step));
                b.Store((uint*)(words[(4 * four) + 1] + step));
                c.Store((uint*)(words[(4 * four) + 2] + step));
                d.Store((uint*)(words[(4 * four) + 3] + step));
            }
        }
        return (bad & Vector128.Create(PanelLayout.ZeroWord)) == default;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool UnpackOnes(byte* packed, PackedTernaryWeights weights, int first, int end)
    {
        int columns = weights.Columns, quarter = Quarter(weights.Rows);
        uint* fields = stackalloc uint[4];
        uint bad = 0;
        for (int row = first; row < end; row++)
        {
            for (int column = 0; column < columns; column += PanelLayout.StepColumns)
            {
                Vector128<uint> codes = Load(packed + ((long)row * columns) + column, Math.Min(PanelLayout.StepColumns, columns - column));
                Vector128<uint> a = Vector128.CreateScalar(codes[0]), b = Vector128.CreateScalar(codes[1]);
                Vector128<uint> c = Vector128.CreateScalar(codes[2]), d = Vector128.CreateScalar(codes[3]);
                FieldTranspose.Fields(ref a, ref b, ref c, ref d);
                (fields[0], fields[1], fields[2], fields[3]) = (a[0], b[0], c[0], d[0]);
                // Codes of rows that the matrix lacks mean nothing.
                for (int field = 0; field < 4 && (field * quarter) + row < weights.Rows; field++)
                {
                    bad |= fields[field] & (fields[field] >> 1);
                    byte* word = weights.RentedData + PanelLayout.RowOffset((field * quarter) + row, columns);
                    *(uint*)(word + ((long)column / PanelLayout.StepColumns * PanelLayout.StepBytes)) = fields[field];
                }
            }
        }
        return (bad & PanelLayout.ZeroWord) == 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Load(byte* from, int count) =>
        count == PanelLayout.StepColumns ? Vector128.Load(from).AsUInt32() : LoadPadded(from, count);

    private static Vector128<uint> LoadPadded(byte* from, int count)
    {
        Vector128<byte> padded = Vector128.Create(PanelLayout.ZeroByte);
        for (int i = 0; i < count; i++)
            padded = padded.WithElement(i, from[i]);
        return padded.AsUInt32();
    }
}
