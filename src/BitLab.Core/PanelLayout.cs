namespace BitLab.Core;

/// <summary>Where each trit lies in the packed form: the one layout that all kernels read and all BitLab files hold.</summary>
/// <remarks>
/// The rows of the weights are cut into panels of 32, the columns into steps of 16. A step of a panel is 128 bytes: one
/// block of 64 bytes for its rows 0 to 15, one for its rows 16 to 31. A block holds a 32-bit word for each row; the word's
/// byte b holds the columns b, 4 + b, 8 + b and 12 + b of the step, from its lowest two bits to its highest, each as the
/// code trit + 1. Rows and columns that the matrix lacks hold zero trits. See docs/packed-layout.md.
/// </remarks>
internal static class PanelLayout
{
    /// <summary>Names this layout in files; another layout gets another number.</summary>
    public const int Id = 1;

    public const int PanelRows = 32;
    public const int BlockRows = 16;
    public const int StepColumns = 16;
    public const int BlockBytes = 64;
    public const int StepBytes = 128;

    /// <summary>Sixteen zero trits.</summary>
    public const uint ZeroWord = 0x55555555;

    /// <summary>Four zero trits.</summary>
    public const byte ZeroByte = 0x55;

    public static int Panels(int rows) => (int)(((long)rows + PanelRows - 1) / PanelRows);

    public static int Steps(int columns) => (int)(((long)columns + StepColumns - 1) / StepColumns);

    public static int PaddedColumns(int columns) => Steps(columns) * StepColumns;

    public static long PanelBytes(int columns) => (long)Steps(columns) * StepBytes;

    public static long ByteCount(int rows, int columns) => Panels(rows) * PanelBytes(columns);

    /// <summary>The offset of the words of one row: that of its first step. The next step's word is 128 bytes on.</summary>
    public static long RowOffset(int row, int columns) =>
        (row / PanelRows * PanelBytes(columns)) + (row % PanelRows * sizeof(uint));

    /// <summary>Packs sixteen codes, four a word, into one word.</summary>
    public static uint Interleave(uint first, uint second, uint third, uint fourth) =>
        first | (second << 2) | (third << 4) | (fourth << 6);

    /// <summary>The four codes of columns 4 · field to 4 · field + 3, one a byte.</summary>
    public static uint Codes(uint word, int field) => (word >> (2 * field)) & 0x03030303;
}
