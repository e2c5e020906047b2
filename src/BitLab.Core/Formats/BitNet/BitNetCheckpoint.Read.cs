namespace BitLab.Core;

public sealed unsafe partial class BitNetCheckpoint
{
    /// <summary>Reads a tensor as float32.</summary>
    /// <param name="name">Its name in Hugging Face's checkpoints.</param>
    /// <returns>Its values, row by row; of ternary weights, scale · trit.</returns>
    /// <exception cref="KeyNotFoundException">There is no such tensor.</exception>
    /// <exception cref="InvalidDataException">It is not what the config says, or too large for an array.</exception>
    public float[] ReadFloats(string name)
    {
        CheckpointTensor tensor = Checked(name, out BitNetTensor known);
        long count = known.Shape.Aggregate(1L, (product, size) => product * size);
        if (count > Array.MaxLength)
            throw Damaged(tensor, $"has {count} values, too many for one array");
        float[] values = new float[count];
        ReadFloats(name, values);
        return values;
    }

    /// <summary>Reads a tensor as float32.</summary>
    /// <param name="name">Its name in Hugging Face's checkpoints.</param>
    /// <param name="values">As long as the tensor: filled row by row; of ternary weights, with scale · trit.</param>
    /// <exception cref="ArgumentException">The length is another.</exception>
    /// <exception cref="KeyNotFoundException">There is no such tensor.</exception>
    /// <exception cref="InvalidDataException">It is not what the config says.</exception>
    public void ReadFloats(string name, Span<float> values)
    {
        CheckpointTensor tensor = Checked(name, out BitNetTensor known);
        long count = known.Shape.Aggregate(1L, (product, size) => product * size);
        if (values.Length != count)
            throw new ArgumentException($"'{name}' has {count} values, not {values.Length}.", nameof(values));
        if (FloatDecoding.Decodes(tensor.Encoding) && tensor.Scale is null)
        {
            tensor.Decode(values);
            return;
        }
        using PackedTernaryWeights weights = ReadTernary(name);
        weights.Unpack(values);
    }

    /// <summary>Reads the weight of a linear layer as packed trits.</summary>
    /// <param name="name">The weight's name in Hugging Face's checkpoints.</param>
    /// <param name="packing">How to hold them; null for two bits, or as the file holds them where it holds panels.</param>
    /// <returns>The weights, which the caller disposes. Panels at a multiple of 64 bytes in the file are not copied: they
    /// lie in the mapped file, also after the checkpoint is disposed. Everything else is converted. Float weights are quantized
    /// with one scale (<see cref="Absmean"/>).</returns>
    /// <exception cref="ArgumentException">The tensor is no linear layer's weight.</exception>
    /// <exception cref="KeyNotFoundException">There is no such tensor.</exception>
    /// <exception cref="InvalidDataException">It is not what the config says, or holds what no packing makes.</exception>
    /// <exception cref="QuantizationException">A float weight is NaN or infinite.</exception>
    public PackedTernaryWeights ReadTernary(string name, WeightPacking? packing = null)
    {
        CheckpointTensor tensor = Checked(name, out BitNetTensor known);
        if (known.Shape.Count != 2)
            throw new ArgumentException($"'{name}' is no matrix.", nameof(name));
        int rows = (int)known.Shape[0], columns = (int)known.Shape[1];
        PackedTernaryWeights weights = tensor.Encoding switch
        {
            TensorEncoding.Panels => ReadPanels(tensor, rows, columns, WeightPacking.TwoBit),
            TensorEncoding.DensePanels => ReadPanels(tensor, rows, columns, WeightPacking.Dense),
            TensorEncoding.HuggingFace => ReadHuggingFace(tensor, rows, columns),
            _ => PackedTernaryWeights.Pack(ReadFloats(name), rows, columns, Granularity.PerTensor, name),
        };
        if (packing is null || packing == weights.Packing)
            return weights;
        using (weights)
            return weights.Repack(packing.Value);
    }

    private PackedTernaryWeights ReadPanels(CheckpointTensor tensor, int rows, int columns, WeightPacking packing)
    {
        float[] scales = ReadScales(tensor);
        MappedBytes bytes = tensor.Map();
        PackedTernaryWeights weights;
        if ((nint)bytes.Pointer % NativeBuffer.Alignment == 0)
        {
            weights = MappedPanels.Weights(bytes, scales, rows, columns, packing);
        }
        else
        {
            using (bytes)
            {
                weights = PackedTernaryWeights.Allocate(rows, columns, GranularityOf(scales), packing);
                Buffer.MemoryCopy(bytes.Pointer, weights.RentedData, weights.PackedBytes, bytes.ByteCount);
                scales.CopyTo(weights.RentedScales);
            }
        }
        if (weights.FindDamage() is not string damage)
            return weights;
        weights.Dispose();
        throw Damaged(tensor, $"is damaged: {damage}");
    }

    private PackedTernaryWeights ReadHuggingFace(CheckpointTensor tensor, int rows, int columns)
    {
        float[] scales = ReadScales(tensor);
        if (Config.Quantization is null or { LinearClass: BitNetLinearClass.BitLinear })
            Invert(tensor, scales);
        PackedTernaryWeights weights = PackedTernaryWeights.Allocate(rows, columns, GranularityOf(scales), WeightPacking.TwoBit);
        scales.CopyTo(weights.RentedScales);
        using MappedBytes bytes = tensor.Map();
        if (HuggingFacePacking.Unpack(bytes.Pointer, weights))
            return weights;
        weights.Dispose();
        throw Damaged(tensor, "is damaged: a code is none of the three trits");
    }

    // How many there are was checked before.
    private static float[] ReadScales(CheckpointTensor tensor)
    {
        CheckpointTensor scale = tensor.Scale!;
        float[] scales = new float[scale.StoredShape.Aggregate(1L, (product, size) => product * size)];
        scale.Decode(scales);
        foreach (float value in scales)
        {
            if (!float.IsFinite(value))
                throw Damaged(scale, $"holds {value}");
        }
        return scales;
    }

    private static void Invert(CheckpointTensor tensor, Span<float> scales)
    {
        foreach (ref float scale in scales)
        {
            float inverse = 1f / scale;
            scale = float.IsFinite(inverse) ? inverse : throw Damaged(tensor.Scale!, $"holds {scale}, by which nothing can be divided");
        }
    }

    private static Granularity GranularityOf(float[] scales) =>
        scales.Length == 1 ? Granularity.PerTensor : Granularity.PerChannel;

    // A tensor whose shape, type and scale are what the config says.
    private CheckpointTensor Checked(string name, out BitNetTensor known)
    {
        CheckpointTensor tensor = Tensor(name);
        if (!expected.TryGetValue(name, out BitNetTensor? found))
        {
            // The head of a model with tied embeddings is of no use, but may be looked at.
            if (name != BitNetConfig.HeadName)
                throw new InvalidDataException($"'{tensor.FilePath}': '{tensor.StoredName}' is no tensor of such a model.");
            found = new BitNetTensor(name, [Config.VocabSize, Config.HiddenSize], false);
        }
        known = found;
        return FindFault(tensor, known) is string fault ? throw new InvalidDataException($"'{tensor.FilePath}': {fault}.") : tensor;
    }

    private static InvalidDataException Damaged(CheckpointTensor tensor, string what) =>
        new($"'{tensor.FilePath}': '{tensor.StoredName}' {what}.");
}
