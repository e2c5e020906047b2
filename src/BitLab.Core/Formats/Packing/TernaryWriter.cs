using System.Runtime.Intrinsics;

namespace BitLab.Core;

/// <summary>Packed trits to the forms of other programs, some rows at a time, on several threads.</summary>
internal static unsafe class TernaryWriter
{
    private const int ChunkBytes = 1 << 22;

    /// <summary>Writes a matrix.</summary>
    /// <param name="stream">Where to.</param>
    /// <param name="weights">The matrix. With I2_S and Hugging Face's form it has one scale.</param>
    /// <param name="encoding">The form: not panels.</param>
    /// <param name="order">The order of the rows in the file.</param>
    public static void Write(Stream stream, PackedTernaryWeights weights, TensorEncoding encoding, RowOrder order)
    {
        if (weights.Packing != WeightPacking.TwoBit)
        {
            using PackedTernaryWeights twoBit = weights.Repack(WeightPacking.TwoBit);
            Write(stream, twoBit, encoding, order);
            return;
        }
        using PackedTernaryWeights.Lease lease = weights.Rent();
        int rows = encoding == TensorEncoding.HuggingFace ? HuggingFacePacking.Quarter(weights.Rows) : weights.Rows;
        int rowBytes = RowBytes(encoding, weights.Columns);
        int together = Math.Clamp(ChunkBytes / rowBytes, 1, rows);
        byte[] chunk = new byte[together * rowBytes];
        for (int first = 0; first < rows; first += together)
        {
            int count = Math.Min(together, rows - first);
            fixed (byte* target = chunk)
            {
                var job = new PackJob(weights, encoding, order, first, count, target, rowBytes);
                ThreadTeam.Run(ref job, ThreadTeam.PartsFor((long)count * rowBytes, count));
            }
            stream.Write(chunk, 0, count * rowBytes);
        }
        if (encoding == TensorEncoding.I2_S)
        {
            Span<byte> tail = stackalloc byte[StridedPacking.I2TailBytes];
            tail.Clear();
            System.Buffers.Binary.BinaryPrimitives.WriteSingleLittleEndian(tail, weights.RentedScales[0]);
            stream.Write(tail);
        }
    }

    private static int RowBytes(TensorEncoding encoding, int columns) => encoding switch
    {
        TensorEncoding.HuggingFace => columns,
        TensorEncoding.TQ1_0 => (int)Base3Packing.RowBytes(columns),
        _ => (int)StridedPacking.RowBytes(encoding, columns),
    };

    private readonly struct PackJob(
        PackedTernaryWeights weights, TensorEncoding encoding, RowOrder order, int first, int count, byte* target, int rowBytes)
        : IParallelJob
    {
        public void Run(int part, int parts)
        {
            sbyte[] trits = new sbyte[weights.Columns];
            for (int i = IParallelJob.FirstOf(part, parts, count); i < IParallelJob.FirstOf(part + 1, parts, count); i++)
            {
                var bytes = new Span<byte>(target + ((long)i * rowBytes), rowBytes);
                if (encoding == TensorEncoding.HuggingFace)
                {
                    PackQuarters(first + i, trits, bytes);
                    continue;
                }
                int row = order.FromFile(first + i);
                weights.UnpackRow(row, trits);
                float scale = weights.RentedScales[weights.Granularity == Granularity.PerTensor ? 0 : row];
                if (encoding == TensorEncoding.TQ1_0)
                    Base3Packing.PackRow(trits, scale, bytes);
                else
                    StridedPacking.PackRow(encoding, trits, scale, bytes);
            }
        }

        private void PackQuarters(int row, sbyte[] trits, Span<byte> bytes)
        {
            bytes.Clear();
            int quarter = HuggingFacePacking.Quarter(weights.Rows);
            for (int field = 0; field < 4 && row < weights.Rows; field++, row += quarter)
            {
                weights.UnpackRow(row, trits);
                int column = 0;
                for (; column + Vector256<byte>.Count <= trits.Length; column += Vector256<byte>.Count)
                {
                    Span<byte> some = bytes.Slice(column, Vector256<byte>.Count);
                    Vector256<byte> codes = (Vector256.Create(trits, column) + Vector256<sbyte>.One).AsByte();
                    (Vector256.Create<byte>(some) | (codes << (2 * field))).CopyTo(some);
                }
                for (; column < trits.Length; column++)
                    bytes[column] |= (byte)((trits[column] + 1) << (2 * field));
            }
        }
    }
}
