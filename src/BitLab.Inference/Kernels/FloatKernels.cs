using BitLab.Core;

namespace BitLab.Inference;

/// <summary>Which float kernels run.</summary>
internal static class FloatKernels
{
    /// <summary>Those beside a kernel for ternary products: who forces the managed one wants no native code.</summary>
    public static IFloatKernels For(IBitKernel kernel) => ManagedFloatKernels.Instance;
}
