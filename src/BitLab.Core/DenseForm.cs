using System.Runtime.Intrinsics;

namespace BitLab.Core;

/// <summary>Five trits a byte: from the 2-bit form and back, a panel at a time.</summary>
/// <remarks>Of each 80 columns, the first four steps keep their bytes, with base-3 digits in place of 2-bit fields; the four
/// fields of the fifth step are those bytes' fifth digits. So byte = c0 + 3·c1 + 9·c2 + 27·c3 + 81·c4 with codes c = trit + 1,
/// at most 242.</remarks>
internal static unsafe class DenseForm
{
    /// <summary>The byte of five times +1, the largest there is.</summary>
    public const byte Largest = 242;

    /// <summary>The byte of five zero trits.</summary>
    public const byte Zero = 121;

    /// <summary>Packs a panel of the 2-bit form that has a multiple of 80 columns.</summary>
    public static void Compress(byte* panel, int columns, byte* dense)
    {
        for (int group = columns / PanelLayout.DenseColumns; group > 0; group--)
        {
            for (int at = 0; at < PanelLayout.StepBytes; at += Vector512<byte>.Count)
            {
                Vector512<byte> fifths = Vector512.Load(panel + (4 * PanelLayout.StepBytes) + at);
                for (int step = 0; step < 4; step++)
                {
                    Vector512<byte> fields = Vector512.Load(panel + (step * PanelLayout.StepBytes) + at);
                    Vector512<byte> value = Field(fifths, step);
                    for (int digit = 3; digit >= 0; digit--)
                        value = value + value + value + Field(fields, digit);
                    value.Store(dense + (step * PanelLayout.StepBytes) + at);
                }
            }
            panel += 5 * PanelLayout.StepBytes;
            dense += PanelLayout.DenseBytes;
        }
    }

    /// <summary>Unpacks a panel to the 2-bit form.</summary>
    public static void Expand(byte* dense, int columns, byte* panel)
    {
        for (int group = columns / PanelLayout.DenseColumns; group > 0; group--)
        {
            for (int at = 0; at < PanelLayout.StepBytes; at += Vector512<byte>.Count)
            {
                Vector512<byte> fifths = Vector512<byte>.Zero;
                for (int step = 0; step < 4; step++)
                {
                    Vector512<byte> rest = Vector512.Load(dense + (step * PanelLayout.StepBytes) + at), fields = Vector512<byte>.Zero;
                    TakeDigit(ref rest, 81, ref fifths, step);
                    TakeDigit(ref rest, 27, ref fields, 3);
                    TakeDigit(ref rest, 9, ref fields, 2);
                    TakeDigit(ref rest, 3, ref fields, 1);
                    (fields + rest).Store(panel + (step * PanelLayout.StepBytes) + at);
                }
                fifths.Store(panel + (4 * PanelLayout.StepBytes) + at);
            }
            dense += PanelLayout.DenseBytes;
            panel += 5 * PanelLayout.StepBytes;
        }
    }

    private static Vector512<byte> Field(Vector512<byte> fields, int field) =>
        Vector512.ShiftRightLogical(fields, 2 * field) & Vector512.Create((byte)3);

    // Moves a digit, 0, 1 or 2 times its weight, from the rest of the value to a field.
    private static void TakeDigit(ref Vector512<byte> rest, byte weight, ref Vector512<byte> fields, int field)
    {
        Vector512<byte> one = Vector512.GreaterThanOrEqual(rest, Vector512.Create(weight));
        Vector512<byte> two = Vector512.GreaterThanOrEqual(rest, Vector512.Create((byte)(2 * weight)));
        Vector512<byte> weights = Vector512.Create(weight), unit = Vector512.Create((byte)(1 << (2 * field)));
        rest -= (one & weights) + (two & weights);
        fields += (one & unit) + (two & unit);
    }
}
