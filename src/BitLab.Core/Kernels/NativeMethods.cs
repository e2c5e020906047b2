using System.Runtime.InteropServices;

namespace BitLab.Core;

/// <summary>native/bitlab.h again, line for line.</summary>
internal static unsafe partial class NativeMethods
{
    public const int AbiVersion = 2;

    private const string Library = "bitlab";

    [LibraryImport(Library)]
    public static partial int bitlab_abi_version();

    [LibraryImport(Library)]
    public static partial int bitlab_is_supported(int kernel);

    [LibraryImport(Library)]
    public static partial int bitlab_multiply_int8(
        int kernel, int m, int n, int k,
        sbyte* x, float* x_scales, int* x_sums,
        byte* w, float* w_scales, int w_scale_stride,
        float* bias, float* y, int first_panel, int end_panel);

    [LibraryImport(Library)]
    public static partial int bitlab_reads_dense(int kernel);

    [LibraryImport(Library)]
    public static partial int bitlab_multiply_int8_dense(
        int kernel, int m, int n, int k,
        sbyte* x, float* x_scales, int* x_sums,
        byte* w, float* w_scales, int w_scale_stride,
        float* bias, float* y, int first_panel, int end_panel);

    [LibraryImport(Library)]
    public static partial int bitlab_multiply_float32(
        int kernel, int m, int n, int k,
        float* x,
        byte* w, float* w_scales, int w_scale_stride,
        float* bias, float* y, int first_panel, int end_panel);
}
