using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace BitLab.Core;

/// <summary>Float matrices of a file to packed trits, a part of them at a time, on several threads.</summary>
internal static unsafe class MasterPacking
{
    // Rows that a thread takes together.
    private const int RowsTogether = PanelLayout.PanelRows;

    /// <summary>Quantizes with one scale, to the same bits as <see cref="PackedTernaryWeights.Pack"/>.</summary>
    /// <param name="bytes">The matrix.</param>
    /// <param name="encoding">How its floats are held.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="order">The order of the rows in the file.</param>
    /// <param name="keepTernary">Whether floats that are all the same number, its negative or zero are trits already, with that number
    /// as their scale.</param>
    /// <param name="wasTernary">Whether they were.</param>
    /// <returns>The weights, or null if one is NaN or infinite.</returns>
    public static PackedTernaryWeights? Pack(
        MappedBytes bytes, TensorEncoding encoding, int rows, int columns, RowOrder order, bool keepTernary, out bool wasTernary)
    {
        long count = (long)rows * columns;
        int blocks = (int)((count + Absmean.BlockLength - 1) / Absmean.BlockLength);
        var found = new BlockRange[blocks];
        fixed (BlockRange* ranges = found)
        {
            var measure = new MeasureJob(bytes.Pointer, encoding, count, blocks, keepTernary, ranges);
            ThreadTeam.Run(ref measure, ThreadTeam.PartsFor(bytes.ByteCount, blocks));
        }
        double sum = 0;
        float least = float.PositiveInfinity, most = 0;
        foreach (BlockRange range in found)
        {
            sum += range.Sum;
            least = MathF.Min(least, range.Least);
            most = MathF.Max(most, range.Most);
        }
        bool hasOneMagnitude = most == least && float.IsNormal(most);
        wasTernary = keepTernary && (hasOneMagnitude || most == 0);
        float scale = keepTernary && hasOneMagnitude ? most : Absmean.ScaleOf(sum, count);
        if (!float.IsFinite(scale))
            return null;
        PackedTernaryWeights weights = PackedTernaryWeights.AllocateForWholeRows(rows, columns, Granularity.PerTensor);
        weights.RentedScales[0] = scale;
        var store = new StoreJob(bytes.Pointer, encoding, weights, order, scale);
        ThreadTeam.Run(ref store, ThreadTeam.PartsFor(bytes.ByteCount, PanelLayout.Panels(rows)));
        return weights;
    }

    /// <summary>Whether some floats have one magnitude, apart from zeros: trits times a number, as no training leaves them.</summary>
    public static bool LooksTernary(ReadOnlySpan<float> values)
    {
        float magnitude = 0;
        foreach (float value in values)
        {
            if (value == 0)
                continue;
            if (magnitude != 0 && MathF.Abs(value) != magnitude)
                return false;
            magnitude = MathF.Abs(value);
        }
        return float.IsNormal(magnitude);
    }

    private struct BlockRange
    {
        public double Sum;
        public float Least;
        public float Most;
    }

    private readonly struct MeasureJob(
        byte* bytes, TensorEncoding encoding, long count, int blocks, bool needsRange, BlockRange* ranges) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            float[] values = new float[Absmean.BlockLength];
            for (int block = IParallelJob.FirstOf(part, parts, blocks); block < IParallelJob.FirstOf(part + 1, parts, blocks); block++)
            {
                long first = (long)block * Absmean.BlockLength;
                Span<float> some = values.AsSpan(0, (int)Math.Min(Absmean.BlockLength, count - first));
                Decode(bytes, encoding, first, some);
                ranges[block] = needsRange ? RangeOf(some) : default;
                ranges[block].Sum = Absmean.SumOfBlock(some);
            }
        }

        // The largest magnitude, and the least that is not 0.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static BlockRange RangeOf(ReadOnlySpan<float> values)
        {
            var infinity = Vector256.Create(float.PositiveInfinity);
            Vector256<float> most = default, least = infinity;
            int i = 0;
            for (; i + Vector256<float>.Count <= values.Length; i += Vector256<float>.Count)
            {
                Vector256<float> magnitudes = Vector256.Abs(Vector256.Create(values.Slice(i, Vector256<float>.Count)));
                most = Vector256.Max(most, magnitudes);
                least = Vector256.Min(least, Vector256.ConditionalSelect(Vector256.Equals(magnitudes, default), infinity, magnitudes));
            }
            var range = new BlockRange { Least = float.PositiveInfinity };
            for (int lane = 0; lane < Vector256<float>.Count; lane++)
                Include(ref range, most[lane], least[lane]);
            foreach (float value in values[i..])
                Include(ref range, MathF.Abs(value), value == 0 ? float.PositiveInfinity : MathF.Abs(value));
            return range;
        }

        private static void Include(ref BlockRange range, float most, float least)
        {
            range.Most = MathF.Max(range.Most, most);
            range.Least = MathF.Min(range.Least, least);
        }
    }

    private readonly struct StoreJob(
        byte* bytes, TensorEncoding encoding, PackedTernaryWeights weights, RowOrder order, float scale) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            int panels = PanelLayout.Panels(weights.Rows);
            int first = IParallelJob.FirstOf(part, parts, panels) * RowsTogether;
            int end = Math.Min(IParallelJob.FirstOf(part + 1, parts, panels) * RowsTogether, weights.Rows);
            float[] values = new float[weights.Columns];
            sbyte[] trits = new sbyte[weights.Columns];
            for (int row = first; row < end; row++)
            {
                Decode(bytes, encoding, (long)order.InFile(row) * weights.Columns, values);
                Absmean.Quantize(values, scale, trits);
                weights.StoreRow(row, trits);
            }
        }
    }

    private static void Decode(byte* bytes, TensorEncoding encoding, long first, Span<float> values)
    {
        byte* from = bytes + FloatDecoding.ByteCount(encoding, first);
        FloatDecoding.Decode(encoding, new ReadOnlySpan<byte>(from, (int)FloatDecoding.ByteCount(encoding, values.Length)), values);
    }
}
