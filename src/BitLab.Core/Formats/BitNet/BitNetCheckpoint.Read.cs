using System.Buffers.Binary;

namespace BitLab.Core;

public sealed unsafe partial class BitNetCheckpoint
{
    // A span of bytes holds no more than 2 GB.
    private const int MaxDecodedTogether = 1 << 24;

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
            DecodeRows(tensor, known, 0, values);
            return;
        }
        using PackedTernaryWeights weights = ReadTernary(name);
        weights.Unpack(values);
    }

    /// <summary>Reads some rows of a tensor of floats as float32.</summary>
    /// <param name="name">Its name in Hugging Face's checkpoints.</param>
    /// <param name="first">The first value: that of a row.</param>
    /// <param name="values">Filled with whole rows; of a vector, with all of it.</param>
    /// <exception cref="ArgumentException">These are no rows of the tensor, or it holds trits.</exception>
    /// <exception cref="KeyNotFoundException">There is no such tensor.</exception>
    /// <exception cref="InvalidDataException">It is not what the config says.</exception>
    public void ReadFloats(string name, long first, Span<float> values)
    {
        CheckpointTensor tensor = Checked(name, out BitNetTensor known);
        long count = known.Shape.Aggregate(1L, (product, size) => product * size);
        if (first < 0 || first % known.Shape[^1] != 0 || values.Length % known.Shape[^1] != 0 || first > count - values.Length)
        {
            throw new ArgumentException(
                $"'{name}' ({string.Join(", ", known.Shape)}) has no rows at {first} of {values.Length} values.", nameof(first));
        }
        if (!FloatDecoding.Decodes(tensor.Encoding) || tensor.Scale is not null)
            throw new ArgumentException($"'{name}' holds trits, of which no single rows are read.", nameof(name));
        DecodeRows(tensor, known, first / known.Shape[^1], values);
    }

    private static void DecodeRows(CheckpointTensor tensor, BitNetTensor known, long firstRow, Span<float> values)
    {
        int columns = (int)known.Shape[^1], rowBytes = (int)FloatDecoding.ByteCount(tensor.Encoding, columns);
        // As many rows at once as lie side by side.
        int together = tensor.Order.IsAsItIs ? Math.Max(1, MaxDecodedTogether / columns) : 1;
        using MappedBytes bytes = tensor.Map();
        for (int done = 0; done < values.Length; done += together * columns)
        {
            long row = firstRow + (done / columns);
            Span<float> some = values[done..Math.Min(values.Length, done + (together * columns))];
            int stored = some.Length / columns * rowBytes;
            FloatDecoding.Decode(tensor.Encoding, bytes.Slice(tensor.Order.InFile((int)row) * (long)rowBytes, stored), some);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="KeyNotFoundException">There is no such tensor.</exception>
    /// <exception cref="InvalidDataException">It is not what the config says.</exception>
    public Granularity GranularityOf(string name)
    {
        CheckpointTensor tensor = Checked(name, out BitNetTensor known);
        bool hasRowScales = tensor.Scale is not null && tensor.Scale.StoredShape.Aggregate(1L, (product, size) => product * size) > 1;
        if (!hasRowScales && tensor.Encoding is TensorEncoding.TQ1_0 or TensorEncoding.TQ2_0)
        {
            using MappedBytes bytes = tensor.Map();
            hasRowScales = BlockScales.Read(
                bytes, tensor.Encoding, (int)known.Shape[0], (int)known.Shape[1], tensor.Order, out _).Length > 1;
        }
        return hasRowScales ? Granularity.PerChannel : Granularity.PerTensor;
    }

    /// <inheritdoc/>
    PackedTernaryWeights IBitNetSource.ReadTernary(string name) => ReadTernary(name);

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
            _ => Convert(tensor, rows, columns),
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

    private PackedTernaryWeights Convert(CheckpointTensor tensor, int rows, int columns)
    {
        using MappedBytes bytes = tensor.Map();
        PackedTernaryWeights weights = tensor.Encoding switch
        {
            TensorEncoding.HuggingFace => ReadHuggingFace(tensor, bytes, rows, columns),
            TensorEncoding.I2_S => ReadI2(tensor, bytes, rows, columns),
            TensorEncoding.TQ1_0 or TensorEncoding.TQ2_0 => ReadBlocks(tensor, bytes, rows, columns),
            _ => ReadMaster(tensor, bytes, rows, columns),
        };
        // Nothing reads the file's form again.
        MappedPages.Drop(bytes.Pointer, bytes.ByteCount);
        return weights;
    }

    private PackedTernaryWeights ReadHuggingFace(CheckpointTensor tensor, MappedBytes bytes, int rows, int columns)
    {
        float[] scales = ReadScales(tensor);
        if (Config.Quantization is null or { LinearClass: BitNetLinearClass.BitLinear })
            Invert(tensor, scales);
        PackedTernaryWeights weights = Allocate(rows, columns, scales);
        return HuggingFacePacking.Unpack(bytes.Pointer, weights) ? weights : throw NoTrit(tensor, weights);
    }

    private static PackedTernaryWeights ReadI2(CheckpointTensor tensor, MappedBytes bytes, int rows, int columns)
    {
        float scale = BinaryPrimitives.ReadSingleLittleEndian(bytes.Slice(bytes.ByteCount - StridedPacking.I2TailBytes, sizeof(float)));
        if (!float.IsFinite(scale))
            throw Damaged(tensor, $"has the scale {scale}");
        PackedTernaryWeights weights = Allocate(rows, columns, Multiplied(tensor, [scale]));
        StridedPacking.Unpack(bytes.Pointer, tensor.Encoding, weights, tensor.Order);
        return weights;
    }

    private static PackedTernaryWeights ReadBlocks(CheckpointTensor tensor, MappedBytes bytes, int rows, int columns)
    {
        float[] scales = BlockScales.Read(bytes, tensor.Encoding, rows, columns, tensor.Order, out string? fault);
        if (fault is not null)
            throw Damaged(tensor, $"holds no ternary matrix: {fault}");
        PackedTernaryWeights weights = Allocate(rows, columns, Multiplied(tensor, scales));
        if (tensor.Encoding == TensorEncoding.TQ1_0)
            Base3Packing.Unpack(bytes.Pointer, weights, tensor.Order);
        else if (!StridedPacking.Unpack(bytes.Pointer, tensor.Encoding, weights, tensor.Order))
            throw NoTrit(tensor, weights);
        return weights;
    }

    private static PackedTernaryWeights ReadMaster(CheckpointTensor tensor, MappedBytes bytes, int rows, int columns)
    {
        bool isScaled = tensor.Scale is not null;
        PackedTernaryWeights weights = MasterPacking.Pack(
            bytes, tensor.Encoding, rows, columns, tensor.Order, isScaled || tensor.MayBeTernaryFloats, out bool wasTernary)
            ?? throw new QuantizationException(
                $"'{tensor.StoredName}' of '{tensor.FilePath}' cannot be made ternary: it holds NaN or infinity.");
        if (!isScaled)
            return weights;
        if (!wasTernary)
        {
            weights.Dispose();
            throw Damaged(tensor, "has a scale beside it, but holds floats that are no trits");
        }
        using (weights)
            return WithScales(weights, Multiplied(tensor, [weights.Scales[0]]));
    }

    private static PackedTernaryWeights WithScales(PackedTernaryWeights weights, float[] scales)
    {
        PackedTernaryWeights copy = PackedTernaryWeights.Allocate(weights.Rows, weights.Columns, GranularityOf(scales), weights.Packing);
        Buffer.MemoryCopy(weights.RentedData, copy.RentedData, copy.PackedBytes, weights.PackedBytes);
        scales.CopyTo(copy.RentedScales);
        return copy;
    }

    private static PackedTernaryWeights Allocate(int rows, int columns, float[] scales)
    {
        PackedTernaryWeights weights = PackedTernaryWeights.AllocateForWholeRows(rows, columns, GranularityOf(scales));
        scales.CopyTo(weights.RentedScales);
        return weights;
    }

    // What a tensor of scales beside the weights adds to those within.
    private static float[] Multiplied(CheckpointTensor tensor, float[] within)
    {
        if (tensor.Scale is null)
            return within;
        float[] beside = ReadScales(tensor);
        float[] product = within.Length >= beside.Length ? within : beside;
        for (int row = 0; row < product.Length; row++)
            product[row] = within[within.Length == 1 ? 0 : row] * beside[beside.Length == 1 ? 0 : row];
        return product;
    }

    private static InvalidDataException NoTrit(CheckpointTensor tensor, PackedTernaryWeights weights)
    {
        weights.Dispose();
        return Damaged(tensor, "is damaged: a code is none of the three trits");
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
