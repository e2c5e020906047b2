using BitLab.Core;

namespace BitLab.Inference;

/// <summary>Which float kernels run.</summary>
internal static class FloatKernels
{
    private static readonly IFloatKernels?[] Native = new IFloatKernels?[(int)NativeKernelId.I8mm + 1];

    /// <summary>Those of the same kind as a kernel for ternary products: of its instruction set where it is native, managed where
    /// it is not, so that who forces a kernel forces both.</summary>
    public static IFloatKernels For(IBitKernel kernel) =>
        kernel is NativeKernel native ? Native[native.Id] ??= new NativeFloatKernels(native.Id) : ManagedFloatKernels.Instance;
}
