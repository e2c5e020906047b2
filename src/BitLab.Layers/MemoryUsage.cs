using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>What a module's weights take.</summary>
/// <param name="ParameterBytes">Bytes held by parameters.</param>
/// <param name="BufferBytes">Bytes held by buffers, among them the packed weights of deployed layers.</param>
/// <param name="CacheBytes">Bytes held by the packed weights that eval mode keeps beside the latent ones.</param>
/// <param name="NominalBytes">What the same would take at the information's own size: log2(3) = 1.585 bits for each ternary
/// weight, everything else as it is. No memory holds this; it is what "1.58 bits" promises.</param>
public sealed record MemoryReport(long ParameterBytes, long BufferBytes, long CacheBytes, double NominalBytes)
{
    /// <summary>Bytes really held.</summary>
    public long Bytes => ParameterBytes + BufferBytes + CacheBytes;
}

/// <summary>What two modules' weights take.</summary>
/// <param name="Baseline">The module to compare with.</param>
/// <param name="Quantized">The other.</param>
public sealed record MemoryComparison(MemoryReport Baseline, MemoryReport Quantized)
{
    /// <summary>Bytes really held by the baseline.</summary>
    public long BaselineBytes => Baseline.Bytes;

    /// <summary>Bytes really held by the other.</summary>
    public long QuantizedBytes => Quantized.Bytes;

    /// <summary>The part of the baseline's bytes that is saved: 0.9 is 90% less; below zero it is more.</summary>
    public double Reduction => 1 - ((double)QuantizedBytes / BaselineBytes);

    /// <summary>How many times fewer bytes are held.</summary>
    public double Ratio => (double)BaselineBytes / QuantizedBytes;

    /// <summary>The reduction that the nominal sizes would give.</summary>
    public double NominalReduction => 1 - (Quantized.NominalBytes / Baseline.NominalBytes);
}

/// <summary>Counts the bytes that modules hold: memory, not intentions.</summary>
public static class MemoryUsage
{
    private static readonly double BitsPerTrit = Math.Log2(3);

    /// <summary>Counts a module's parameters, buffers and packed caches, each memory once however often it is
    /// shared.</summary>
    /// <param name="module">Any TorchSharp module.</param>
    /// <returns>The bytes. Gradients, optimizer states and activations are not among them.</returns>
    public static MemoryReport Estimate(nn.Module module)
    {
        ArgumentNullException.ThrowIfNull(module);
        var counted = new HashSet<nint>();
        long parameterBytes = 0, bufferBytes = 0, cacheBytes = 0;
        foreach (Parameter parameter in module.parameters())
            parameterBytes += Count(parameter);
        foreach (Tensor buffer in module.buffers())
            bufferBytes += Count(buffer);

        double nominal = parameterBytes + bufferBytes;
        foreach (BitLayerBase layer in BitLayers(module))
        {
            cacheBytes += layer.CacheBytes;
            long held = layer.weight is Parameter latent ? Size(latent) : layer.PackedBytes;
            nominal += (layer.TritCount * BitsPerTrit / 8) + layer.ScaleBytes - held;
        }
        return new MemoryReport(parameterBytes, bufferBytes, cacheBytes, nominal);

        long Count(Tensor tensor) => counted.Add(Storage(tensor)) ? Size(tensor) : 0;
    }

    /// <summary>Compares what two modules hold.</summary>
    /// <param name="baseline">For example a <c>Linear</c>.</param>
    /// <param name="quantized">For example a deployed <see cref="BitLinear"/>.</param>
    /// <returns>Both counts.</returns>
    public static MemoryComparison Compare(nn.Module baseline, nn.Module quantized) =>
        new(Estimate(baseline), Estimate(quantized));

    private static long Size(Tensor tensor) => tensor.numel() * tensor.element_size();

    // On another device the address cannot be read; there, only the same tensor is the same memory.
    private static nint Storage(Tensor tensor)
    {
        if (tensor.device_type != DeviceType.CPU || tensor.numel() == 0)
            return tensor.Handle;
        unsafe
        {
            return (nint)TensorMemory.Pointer(tensor);
        }
    }

    private static IEnumerable<BitLayerBase> BitLayers(nn.Module module) =>
        BitModules.NamedLayers(module).Select(layer => layer.Layer).Distinct();
}
