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
        ThreadTeam.Run(ref job, groups);
        return isBad == 0;
    }

    // 32 rows of bytes at a time, so that what is written of a panel is written whole.
    private readonly struct UnpackJob(byte* packed, PackedTernaryWeights weights, int groups, int* isBad) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int quarter = Quarter(weights.Rows);
            bool isAligned = weights.Rows % 16 == 0;
            for (int group = IParallelJob.FirstOf(part, parts, groups); group < IParallelJob.FirstOf(part + 1, parts, groups); group++)
            {
                int first = group * PanelLayout.PanelRows, end = Math.Min(first + PanelLayout.PanelRows, quarter);
                for (int column = 0; column < weights.Columns; column += PanelLayout.StepColumns)
                {
                    if (isAligned)
                        Step(first, end, quarter, column);
                    else
                        StepAnywhere(first, end, quarter, column);
                }
            }
        }

        private void Step(int first, int end, int quarter, int column)
        {
            Vector128<uint> bad = default;
            for (int row = first; row < end; row += 4)
            {
                Vector128<uint> a = Load(row, column), b = Load(row + 1, column), c = Load(row + 2, column), d = Load(row + 3, column);
                bad |= (a & (a >>> 1)) | (b & (b >>> 1)) | (c & (c >>> 1)) | (d & (d >>> 1));
                FieldTranspose.Words(ref a, ref b, ref c, ref d);
                FieldTranspose.Fields(ref a, ref b, ref c, ref d);
                a.Store((uint*)Word(row, column));
                b.Store((uint*)Word(quarter + row, column));
                c.Store((uint*)Word((2 * quarter) + row, column));
                d.Store((uint*)Word((3 * quarter) + row, column));
            }
            if ((bad & Vector128.Create(PanelLayout.ZeroWord)) != default)
                *isBad = 1;
        }

        // Where four rows do not lie side by side in a panel, each word is stored by itself.
        private void StepAnywhere(int first, int end, int quarter, int column)
        {
            for (int row = first; row < end; row++)
            {
                Vector128<uint> a = Load(row, column), b = Vector128.CreateScalar(a[1]), c = Vector128.CreateScalar(a[2]), d = Vector128.CreateScalar(a[3]);
                a = Vector128.CreateScalar(a[0]);
                FieldTranspose.Fields(ref a, ref b, ref c, ref d);
                Store(row, column, a[0]);
                Store(quarter + row, column, b[0]);
                Store((2 * quarter) + row, column, c[0]);
                Store((3 * quarter) + row, column, d[0]);
            }
        }

        private void Store(int row, int column, uint word)
        {
            // Codes of rows that the matrix lacks mean nothing.
            if (row >= weights.Rows)
                return;
            if ((word & (word >> 1) & PanelLayout.ZeroWord) != 0)
                *isBad = 1;
            *(uint*)Word(row, column) = word;
        }

        private byte* Word(int row, int column) =>
            weights.RentedData + PanelLayout.RowOffset(row, weights.Columns) + (column / PanelLayout.StepColumns * PanelLayout.StepBytes);

        private Vector128<uint> Load(int row, int column)
        {
            byte* from = packed + ((long)row * weights.Columns) + column;
            int count = weights.Columns - column;
            if (count >= PanelLayout.StepColumns)
                return Vector128.Load(from).AsUInt32();
            Vector128<byte> padded = Vector128.Create(PanelLayout.ZeroByte);
            for (int i = 0; i < count; i++)
                padded = padded.WithElement(i, from[i]);
            return padded.AsUInt32();
        }
    }
}
