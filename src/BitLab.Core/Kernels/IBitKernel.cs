namespace BitLab.Core;

/// <summary>One way to multiply activations by packed ternary weights.</summary>
/// <remarks>
/// <para>A kernel of one's own is one class that implements this, and one <see cref="KernelRegistry.Register"/>.</para>
/// <para>The contract is exact, so that all kernels give the same bits. For int8 activations:
/// <c>y[i, j] = (float)(Σₖ x[i, k] · t[j, k]) · (weightScale[j] · tokenScale[i]) + bias[j]</c>, the sum in int32, each
/// product and the last sum rounded once. For float32 activations the same with tokenScale left out, and the sum
/// taken in float32 from k = 0 upwards: every product is exact, every addition rounds once.</para>
/// </remarks>
public interface IBitKernel
{
    /// <summary>The name by which the registry knows it, for example <c>avx512vnni</c>. Compared without regard to
    /// case.</summary>
    string Name { get; }

    /// <summary>The instruction set it runs on, for people to read.</summary>
    string Isa { get; }

    /// <summary>Whether it is C++ in the native library.</summary>
    bool HasNativeBackend { get; }

    /// <summary>Whether this machine can run it.</summary>
    bool IsSupported { get; }

    /// <summary>Whether it can multiply what a config asks for.</summary>
    /// <param name="config">The config.</param>
    /// <returns>Whether <see cref="Multiply"/> may be called for layers of this config.</returns>
    bool Serves(BitQuantConfig config);

    /// <summary>Whether it multiplies trits that are held in a certain way. Kernels that say nothing read the 2-bit form, and
    /// get the dense one expanded.</summary>
    /// <param name="packing">How the trits are held.</param>
    /// <param name="config">A config that it serves.</param>
    /// <returns>Whether.</returns>
    bool Reads(WeightPacking packing, BitQuantConfig config) => packing == WeightPacking.TwoBit;

    /// <summary>Computes some panels of 32 outputs each, for every token. Single-threaded; several threads call it at once
    /// for different panels of the same product. It allocates nothing.</summary>
    /// <param name="product">What to multiply, and where to write. The arguments are checked.</param>
    /// <param name="firstPanel">The first panel: outputs from 32 · firstPanel.</param>
    /// <param name="endPanel">The panel behind the last one.</param>
    void Multiply(in TernaryProduct product, int firstPanel, int endPanel);
}
