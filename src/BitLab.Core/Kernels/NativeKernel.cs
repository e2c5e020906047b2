using System.Diagnostics;

namespace BitLab.Core;

/// <summary>The kernels of the native library, by their numbers in bitlab.h.</summary>
internal enum NativeKernelId
{
    Scalar = 0,
    Avx2 = 1,
    AvxVnni = 2,
    Avx512Vnni = 3,
    Neon = 4,
    NeonDot = 5,
    I8mm = 6,
}

/// <summary>A kernel of the native library.</summary>
internal sealed unsafe class NativeKernel : IBitKernel
{
    private readonly int id;
    private readonly bool readsDense;

    public NativeKernel(NativeKernelId id)
    {
        this.id = (int)id;
        (Name, Isa) = id switch
        {
            NativeKernelId.Avx512Vnni => ("avx512vnni", "AVX-512 VNNI, C++"),
            NativeKernelId.AvxVnni => ("avxvnni", "AVX-VNNI, C++"),
            NativeKernelId.Avx2 => ("avx2", "AVX2, C++"),
            NativeKernelId.I8mm => ("i8mm", "NEON i8mm, C++"),
            NativeKernelId.NeonDot => ("neondot", "NEON dot product, C++"),
            NativeKernelId.Neon => ("neon", "NEON, C++"),
            _ => ("scalar", "scalar C++"),
        };
        IsSupported = NativeLibraryState.IsAvailable && NativeMethods.bitlab_is_supported(this.id) == 1;
        readsDense = IsSupported && NativeMethods.bitlab_reads_dense(this.id) == 1;
    }

    /// <summary>Its number in bitlab.h.</summary>
    public int Id => id;

    public string Name { get; }

    public string Isa { get; }

    public bool HasNativeBackend => true;

    public bool IsSupported { get; }

    public bool Serves(BitQuantConfig config) => true;

    public bool Reads(WeightPacking packing, BitQuantConfig config) =>
        packing == WeightPacking.TwoBit || (readsDense && config.ActivationDtype == ActivationDtype.Int8);

    public void Multiply(in TernaryProduct p, int firstPanel, int endPanel)
    {
        int status;
        if (p.Int8 == null)
        {
            status = NativeMethods.bitlab_multiply_float32(
                id, p.Tokens, p.Outputs, p.PaddedColumns,
                p.Float32,
                p.Weights, p.WeightScales, p.WeightScaleStride,
                p.Bias, p.Output, firstPanel, endPanel);
        }
        else if (p.Packing == WeightPacking.Dense)
        {
            status = NativeMethods.bitlab_multiply_int8_dense(
                id, p.Tokens, p.Outputs, p.PaddedColumns,
                p.Int8, p.TokenScales, p.TokenSums,
                p.Weights, p.WeightScales, p.WeightScaleStride,
                p.Bias, p.Output, firstPanel, endPanel);
        }
        else
        {
            status = NativeMethods.bitlab_multiply_int8(
                id, p.Tokens, p.Outputs, p.PaddedColumns,
                p.Int8, p.TokenScales, p.TokenSums,
                p.Weights, p.WeightScales, p.WeightScaleStride,
                p.Bias, p.Output, firstPanel, endPanel);
        }
        if (status != 0)
            throw new UnreachableException($"The native kernel '{Name}' refused arguments that were checked: status {status}.");
    }
}
