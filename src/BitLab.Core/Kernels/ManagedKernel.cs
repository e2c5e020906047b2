namespace BitLab.Core;

/// <summary>The SIMD kernel in C#, for where there is no native library.</summary>
/// <remarks>A register holds one 32-bit lane for each of its rows of weights; an activation is broadcast to all of them.
/// So sums stay in their lanes, and nothing is added across a register.</remarks>
/// <typeparam name="T">The registers.</typeparam>
internal sealed unsafe class ManagedKernel<T> : IBitKernel
    where T : unmanaged, ILanes<T>
{
    public string Name => T.Name;

    public string Isa => T.Isa;

    public bool HasNativeBackend => false;

    public bool IsSupported => T.IsSupported;

    public bool Serves(BitQuantConfig config) => true;

    public void Multiply(in TernaryProduct product, int firstPanel, int endPanel)
    {
        if (product.Int8 != null)
            ManagedInt8<T>.Multiply(product, firstPanel, endPanel);
        else
            ManagedFloat32<T>.Multiply(product, firstPanel, endPanel);
    }
}
