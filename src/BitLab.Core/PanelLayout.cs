namespace BitLab.Core;

/// <summary>Where each trit lies in the packed forms, which all kernels read and all BitLab files hold.</summary>
/// <remarks>
/// The rows of the weights are cut into panels of 32, the columns into steps of 16. A step of a panel is 128 bytes: one
/// block of 64 bytes for its rows 0 to 15, one for its rows 16 to 31. A block holds a 32-bit word for each row; the word's
/// byte b holds the columns b, 4 + b, 8 + b and 12 + b of the step, from its lowest two bits to its highest, each as the
/// code trit + 1. Rows and columns that the matrix lacks hold zero trits. The dense form (<see cref="DenseForm"/>) has four
/// steps' bytes for each five steps. See docs/packed-layout.md.
/// </remarks>
internal static class PanelLayout
{
    public const int PanelRows = 32;
    public const int BlockRows = 16;
    public const int StepColumns = 16;
    public const int BlockBytes = 64;
    public const int StepBytes = 128;

    /// <summary>Columns that the dense form packs together.</summary>
    public const int DenseColumns = 80;

    /// <summary>The bytes of these in a panel: four steps'.</summary>
    public const int DenseBytes = 4 * StepBytes;

    /// <summary>Sixteen zero trits of the 2-bit form.</summary>
    public const uint ZeroWord = 0x55555555;

    /// <summary>Four zero trits of the 2-bit form.</summary>
    public const byte ZeroByte = 0x55;

    public static int Panels(int rows) => (int)(((long)rows + PanelRows - 1) / PanelRows);

    /// <summary>The columns with what pads them to whole steps, or to whole groups of the dense form.</summary>
    public static int PaddedColumns(int columns, WeightPacking packing)
    {
        int unit = packing == WeightPacking.Dense ? DenseColumns : StepColumns;
        return (int)(((long)columns + unit - 1) / unit * unit);
    }

    public static long PanelBytes(int columns, WeightPacking packing)
    {
        long padded = PaddedColumns(columns, packing);
        return packing == WeightPacking.Dense ? padded / DenseColumns * DenseBytes : padded / StepColumns * StepBytes;
    }

    public static long ByteCount(int rows, int columns, WeightPacking packing) => Panels(rows) * PanelBytes(columns, packing);

    /// <summary>The shape of the packed trits as a tensor of bytes: (panels, steps, 128), or (panels, groups, 512).</summary>
    public static long[] Shape(int rows, int columns, WeightPacking packing)
    {
        int unitBytes = packing == WeightPacking.Dense ? DenseBytes : StepBytes;
        return [Panels(rows), PanelBytes(columns, packing) / unitBytes, unitBytes];
    }

    /// <summary>In the 2-bit form, the offset of the words of one row: that of its first step. The next step's word is 128
    /// bytes on.</summary>
    public static long RowOffset(int row, int columns) =>
        (row / PanelRows * PanelBytes(columns, WeightPacking.TwoBit)) + (row % PanelRows * sizeof(uint));

    /// <summary>Packs sixteen codes, four a word, into one word.</summary>
    public static uint Interleave(uint first, uint second, uint third, uint fourth) =>
        first | (second << 2) | (third << 4) | (fourth << 6);

    /// <summary>The four codes of columns 4 · field to 4 · field + 3, one a byte.</summary>
    public static uint Codes(uint word, int field) => (word >> (2 * field)) & 0x03030303;
}
