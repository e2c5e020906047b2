using System.Buffers.Binary;

namespace BitLab.Core;

/// <summary>The scales of llama.cpp's ternary blocks. The formats allow one for each 256 trits; ternary weights have one for the matrix or
/// one a row.</summary>
internal static class BlockScales
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
        float[] scales = new float[rows];
        int blockBytes = encoding == TensorEncoding.TQ1_0 ? Base3Packing.BlockBytes : StridedPacking.Tq2BlockBytes;
        int blocks = columns / StridedPacking.TqBlockColumns;
        float? common = null;
        bool isCommon = true;
        fault = null;
        for (int row = 0; row < rows; row++)
        {
            ReadOnlySpan<byte> rowBytes = bytes.Slice((long)order.InFile(row) * blocks * blockBytes, blocks * blockBytes);
            float? scale = RowScale(rowBytes, encoding, blockBytes, ref fault);
            if (fault is not null)
            {
                fault = $"row {row} {fault}";
                return [];
            }
            scales[row] = scale ?? 0;
            common ??= scale;
            isCommon &= scale is null || scale == common;
        }
        return isCommon ? [common ?? 0] : scales;
    }

    // Null where the whole row is zero: llama.cpp gives blocks of zeros the scale 0.
    private static float? RowScale(ReadOnlySpan<byte> row, TensorEncoding encoding, int blockBytes, ref string? fault)
    {
        float? scale = null;
        for (; !row.IsEmpty; row = row[blockBytes..])
        {
            float block = (float)BinaryPrimitives.ReadHalfLittleEndian(row[(blockBytes - sizeof(ushort))..]);
            if (!float.IsFinite(block))
            {
                fault = $"has a block with the scale {block}";
            }
            else if (block == 0)
            {
                if (!IsZero(row[..blockBytes], encoding))
                    fault = "has a block with the scale 0 whose trits are not zero";
            }
            else if (scale is not null && scale != block)
            {
                fault = $"has blocks with the scales {scale} and {block}, where ternary weights have one a row";
            }
            else
            {
                scale = block;
            }
        }
        return scale;
    }

    private static bool IsZero(ReadOnlySpan<byte> block, TensorEncoding encoding) => encoding == TensorEncoding.TQ1_0
        ? Base3Packing.IsZero(block)
        : !block[..^sizeof(ushort)].ContainsAnyExcept(PanelLayout.ZeroByte);
}
