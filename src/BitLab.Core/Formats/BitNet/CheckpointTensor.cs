namespace BitLab.Core;

/// <summary>What the weight of a linear layer is in a checkpoint.</summary>
public enum BitNetLinearKind
{
    /// <summary>Floats that are multiplied as they are.</summary>
    Float,

    /// <summary>Float master weights, which every forward pass quantizes.</summary>
    Master,

    /// <summary>Trits and a scale.</summary>
    Ternary,
}

/// <summary>A tensor of a checkpoint: what it is called and how it is held.</summary>
public sealed record CheckpointTensor
{
    internal CheckpointTensor(
        string name, string storedName, string storedType, TensorEncoding encoding, IReadOnlyList<long> storedShape, long byteCount,
        string filePath, Func<MappedBytes> map)
    {
        StoredType = storedType;
        FilePath = filePath;
        Map = map;
        Name = name;
        StoredName = storedName;
        Encoding = encoding;
        StoredShape = storedShape;
        ByteCount = byteCount;
    }

    /// <summary>Its name in Hugging Face's checkpoints.</summary>
    public string Name { get; }

    /// <summary>Its name in the file.</summary>
    public string StoredName { get; }

    /// <summary>The name of its type in the file's format: <c>U8</c>, <c>TQ2_0</c>.</summary>
    public string StoredType { get; }

    /// <summary>How its values are held.</summary>
    public TensorEncoding Encoding { get; }

    /// <summary>The shape that the file states: that of the values, or that of the packed bytes in
    /// <see cref="TensorEncoding.HuggingFace"/>, <see cref="TensorEncoding.Panels"/> and
    /// <see cref="TensorEncoding.DensePanels"/>.</summary>
    public IReadOnlyList<long> StoredShape { get; }

    /// <summary>Its bytes in the file.</summary>
    public long ByteCount { get; }

    /// <summary>What error messages call the file.</summary>
    internal string FilePath { get; }

    /// <summary>Its bytes, mapped.</summary>
    internal Func<MappedBytes> Map { get; }

    /// <summary>The tensor that holds its scale, if one does.</summary>
    internal CheckpointTensor? Scale { get; set; }

    /// <summary>The order of its rows in the file.</summary>
    internal RowOrder Order { get; init; }

    /// <summary>Whether float weights may be trits times one number, as converters to GGUF write them.</summary>
    internal bool MayBeTernaryFloats { get; init; }

    /// <summary>The first values in the file's order, where they are floats.</summary>
    internal void Decode(Span<float> values)
    {
        using MappedBytes bytes = Map();
        FloatDecoding.Decode(Encoding, bytes.Slice(0, (int)FloatDecoding.ByteCount(Encoding, values.Length)), values);
    }

    /// <summary>The shape that this tensor has to be stored in for values of some shape.</summary>
    internal IReadOnlyList<long> ShapeFor(IReadOnlyList<long> shape) => Encoding switch
    {
        TensorEncoding.HuggingFace when shape.Count == 2 => [HuggingFacePacking.Quarter((int)shape[0]), shape[1]],
        TensorEncoding.Panels when shape.Count == 2 => PanelLayout.Shape((int)shape[0], (int)shape[1], WeightPacking.TwoBit),
        TensorEncoding.DensePanels when shape.Count == 2 => PanelLayout.Shape((int)shape[0], (int)shape[1], WeightPacking.Dense),
        _ => shape,
    };
}
