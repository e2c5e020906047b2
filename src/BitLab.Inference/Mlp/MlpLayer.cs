using System.Runtime.InteropServices;
using BitLab.Core;

namespace BitLab.Inference;

/// <summary>A layer of a perceptron.</summary>
/// <param name="Weights">Its weights.</param>
/// <param name="Bias">Its biases, or none.</param>
internal sealed record MlpLayer(PackedTernaryWeights Weights, float[] Bias)
{
    /// <summary>Reads a layer that was saved deployed or latent.</summary>
    public static MlpLayer Read(SafetensorsFile file, string module, int rows, int columns, BitQuantConfig quantization)
    {
        float[] bias = file.Entries.ContainsKey(module + "bias") ? Floats(file, module + "bias", [rows]) : [];
        return new MlpLayer(
            file.Entries.ContainsKey(module + "packed_weight")
                ? Packed(file, module, rows, columns, quantization)
                : PackedTernaryWeights.Pack(
                    Floats(file, module + "weight", [rows, columns]), rows, columns,
                    quantization.WeightGranularity, module + "weight", quantization.WeightScale),
            bias);
    }

    private static unsafe PackedTernaryWeights Packed(
        SafetensorsFile file, string module, int rows, int columns, BitQuantConfig quantization)
    {
        string name = module + "packed_weight";
        SafetensorsEntry entry = file.Entries[name];
        WeightPacking packing = entry.Shape.Count == 3 && entry.Shape[2] == PanelLayout.DenseBytes ? WeightPacking.Dense : WeightPacking.TwoBit;
        Require(file, name, SafetensorsDtype.U8, PanelLayout.Shape(rows, columns, packing));
        float[] scales = Floats(file, module + "weight_scale", [PackedTernaryWeights.CountScales(rows, quantization.WeightGranularity)]);
        MappedBytes bytes = file.Map(entry);
        PackedTernaryWeights weights;
        if ((nint)bytes.Pointer % NativeBuffer.Alignment == 0)
        {
            weights = MappedPanels.Weights(bytes, scales, rows, columns, packing);
        }
        else
        {
            using (bytes)
            {
                weights = PackedTernaryWeights.Allocate(rows, columns, quantization.WeightGranularity, packing);
                Buffer.MemoryCopy(bytes.Pointer, weights.RentedData, weights.PackedBytes, bytes.ByteCount);
                scales.CopyTo(weights.RentedScales);
            }
        }
        if (weights.FindDamage() is not string damage)
            return weights;
        weights.Dispose();
        throw new InvalidDataException($"'{file.Path}': '{name}' is damaged: {damage}.");
    }

    private static float[] Floats(SafetensorsFile file, string name, long[] shape)
    {
        SafetensorsEntry entry = Require(file, name, SafetensorsDtype.F32, shape);
        float[] values = new float[entry.ByteCount / sizeof(float)];
        file.Read(entry, MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }

    private static SafetensorsEntry Require(SafetensorsFile file, string name, SafetensorsDtype dtype, long[] shape)
    {
        if (!file.Entries.TryGetValue(name, out SafetensorsEntry? entry))
            throw new InvalidDataException($"'{file.Path}' has no tensor '{name}'.");
        if (entry.Dtype != dtype || !entry.Shape.SequenceEqual(shape))
        {
            throw new InvalidDataException(
                $"'{file.Path}': '{name}' is {entry.Dtype} ({string.Join(", ", entry.Shape)}), expected {dtype} ({string.Join(", ", shape)}).");
        }
        return entry;
    }
}
