using System.Runtime.InteropServices;

namespace BitLab.Core;

/// <summary>native/bitlab.h again, line for line.</summary>
internal static unsafe partial class NativeMethods
{
    public const int AbiVersion = 3;

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

    [LibraryImport(Library)]
    public static partial int bitlab_normalize(int kernel, float* x, float* weight, float epsilon, int columns, float* y);

    [LibraryImport(Library)]
    public static partial int bitlab_rotate(int kernel, float* heads, int count, int head_dim, float* cosines, float* sines);

    [LibraryImport(Library)]
    public static partial int bitlab_gate(int kernel, int is_silu, float* gate, float* up, int count);

    [LibraryImport(Library)]
    public static partial int bitlab_attend(
        int kernel, int tokens, int first_position, int group, int head_dim, int value_stride, int type, float scale,
        float* queries, long query_stride, byte* keys, byte* values, float* scores, int score_stride,
        float* output, long output_stride);

    [LibraryImport(Library)]
    public static partial int bitlab_multiply_dense(
        int kernel, int m, int k, int type, byte* w, float* x, float* y, long output_stride, int first_row, int end_row);
}
