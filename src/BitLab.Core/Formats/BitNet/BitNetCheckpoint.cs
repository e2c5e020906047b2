namespace BitLab.Core;

/// <summary>A BitNet model's files, open: its config and its tensors, by Hugging Face's names whatever the files call
/// them.</summary>
/// <remarks>The files are memory-mapped, and nothing is read before it is asked for. Any number of threads may read. What was
/// read stays valid when the checkpoint is disposed.</remarks>
public sealed partial class BitNetCheckpoint : IBitNetSource, IDisposable
{
    private readonly IDisposable files;
    private readonly Dictionary<string, CheckpointTensor> tensors;
    private readonly Dictionary<string, BitNetTensor> expected;

    private BitNetCheckpoint(string path, BitNetConfig config, IDisposable files, Dictionary<string, CheckpointTensor> tensors)
    {
        Path = path;
        Config = config;
        this.files = files;
        this.tensors = tensors;
        expected = config.Tensors().ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
    }

    /// <summary>The folder or the file.</summary>
    public string Path { get; }

    /// <summary>The model's config.</summary>
    public BitNetConfig Config { get; }

    /// <summary>The names of all tensors that are there, without the scales of packed weights.</summary>
    public IReadOnlyCollection<string> TensorNames => tensors.Keys;

    /// <summary>The GGUF file, with the metadata that the config leaves out (the tokenizer's), or null for a folder.</summary>
    public GgufFile? Gguf => files as GgufFile;

    /// <summary>Opens a model.</summary>
    /// <param name="path">A folder with config.json and either model.safetensors or model.safetensors.index.json and the files
    /// that it names; or a GGUF file.</param>
    /// <returns>The open model, which the caller disposes.</returns>
    /// <exception cref="InvalidDataException">A file contradicts its format.</exception>
    /// <exception cref="IOException">A file is not there or cannot be read.</exception>
    public static BitNetCheckpoint Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return File.Exists(path) ? OpenGguf(path) : OpenFolder(path);
    }

    /// <summary>Whether a tensor is there.</summary>
    /// <param name="name">Its name in Hugging Face's checkpoints.</param>
    /// <returns>Whether it is.</returns>
    public bool Has(string name) => tensors.ContainsKey(name);

    /// <summary>How a tensor is held.</summary>
    /// <param name="name">Its name in Hugging Face's checkpoints.</param>
    /// <returns>What the file says of it.</returns>
    /// <exception cref="KeyNotFoundException">There is no such tensor.</exception>
    public CheckpointTensor Tensor(string name) =>
        tensors.TryGetValue(name, out CheckpointTensor? tensor)
            ? tensor
            : throw new KeyNotFoundException($"'{Path}' has no tensor '{name}'.");

    /// <inheritdoc/>
    /// <remarks>Float weights that are trits already are <see cref="TensorEncoding.Other"/>.</remarks>
    /// <exception cref="KeyNotFoundException">There is no such tensor.</exception>
    public TensorEncoding EncodingOf(string name)
    {
        TensorEncoding encoding = Tensor(name).Encoding;
        return FloatDecoding.Decodes(encoding) && LinearKind(name) == BitNetLinearKind.Ternary ? TensorEncoding.Other : encoding;
    }

    /// <summary>A tensor's bytes as the file holds them, mapped and not copied.</summary>
    /// <param name="name">Its name in Hugging Face's checkpoints.</param>
    /// <returns>The bytes, which the caller disposes. <see cref="Tensor"/> says what they are.</returns>
    /// <exception cref="KeyNotFoundException">There is no such tensor.</exception>
    public MappedBytes Map(string name) => Tensor(name).Map();

    /// <summary>What the weight of a linear layer is.</summary>
    /// <param name="name">The weight's name, <c>...weight</c>.</param>
    /// <returns>Ternary where trits are held; so they are in GGUF files whose floats are one number, its negative and zeros. Other
    /// floats are master weights where the config says <see cref="BitNetQuantizationMode.Online"/> and does not except the
    /// layer.</returns>
    /// <exception cref="KeyNotFoundException">There is no such tensor.</exception>
    public BitNetLinearKind LinearKind(string name)
    {
        CheckpointTensor tensor = Tensor(name);
        if (tensor.Scale is not null || !FloatDecoding.Decodes(tensor.Encoding))
            return BitNetLinearKind.Ternary;
        if (Config.Quantization is not BitNetQuantization quantization
            || (quantization.QuantizationMode == BitNetQuantizationMode.Offline && !tensor.MayBeTernaryFloats)
            || !expected.TryGetValue(name, out BitNetTensor? known) || !known.IsLinear
            || quantization.Excepts(name))
            return BitNetLinearKind.Float;
        if (tensor.MayBeTernaryFloats && LooksTernary(tensor, known))
            return BitNetLinearKind.Ternary;
        return quantization.QuantizationMode == BitNetQuantizationMode.Online ? BitNetLinearKind.Master : BitNetLinearKind.Float;
    }

    /// <summary>Compares all tensors with what the config says the model has.</summary>
    /// <exception cref="InvalidDataException">Tensors are missing, unexpected, of another shape or of a type that BitLab does not
    /// decode: the message lists them all.</exception>
    public void Check()
    {
        var faults = new List<string>();
        foreach (BitNetTensor tensor in expected.Values)
        {
            if (!tensors.TryGetValue(tensor.Name, out CheckpointTensor? found))
                faults.Add($"'{tensor.Name}' is missing");
            else if (FindFault(found, tensor) is string fault)
                faults.Add(fault);
        }
        // With tied embeddings the head is written or left out, and is not read.
        foreach (CheckpointTensor tensor in tensors.Values)
        {
            if (!expected.ContainsKey(tensor.Name) && !(Config.TieWordEmbeddings && tensor.Name == BitNetConfig.HeadName))
                faults.Add($"'{tensor.StoredName}' is unexpected");
        }
        if (faults.Count == 0)
            return;
        const int Shown = 1000;
        string more = faults.Count > Shown ? $"; and {faults.Count - Shown} more" : "";
        throw new InvalidDataException($"The tensors of '{Path}' do not fit its config: {string.Join("; ", faults.Take(Shown))}{more}.");
    }

    /// <inheritdoc/>
    public void Dispose() => files.Dispose();

    private static bool LooksTernary(CheckpointTensor tensor, BitNetTensor known)
    {
        if (FindFault(tensor, known) is not null)
            return false;
        float[] some = new float[(int)Math.Min(1 << 16, known.Shape[0] * known.Shape[1])];
        tensor.Decode(some);
        return MasterPacking.LooksTernary(some);
    }

    private static BitNetCheckpoint OpenGguf(string path)
    {
        GgufFile file = GgufFile.Open(path);
        try
        {
            BitNetConfig config = BitNetConfig.FromGguf(file);
            return new BitNetCheckpoint(path, config, file, GgufNames.Read(file, config));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static BitNetCheckpoint OpenFolder(string path)
    {
        if (!ShardedSafetensors.IsIn(path))
        {
            throw new FileNotFoundException(
                $"'{path}' holds neither {ShardedSafetensors.SingleName} nor {ShardedSafetensors.IndexName}.");
        }
        BitNetConfig config = BitNetConfig.FromFile(System.IO.Path.Combine(path, "config.json"));
        ShardedSafetensors files = ShardedSafetensors.Open(path);
        try
        {
            return new BitNetCheckpoint(path, config, files, HuggingFaceNames.Read(files));
        }
        catch
        {
            files.Dispose();
            throw;
        }
    }

    private static string? FindFault(CheckpointTensor found, BitNetTensor tensor)
    {
        bool isFloat = FloatDecoding.Decodes(found.Encoding);
        if (found.Encoding == TensorEncoding.Other || (!isFloat && !tensor.IsLinear))
            return $"'{found.StoredName}' is {found.StoredType}, which BitLab does not read here";
        IReadOnlyList<long> shape = found.ShapeFor(tensor.Shape);
        if (!found.StoredShape.SequenceEqual(shape))
            return $"'{found.StoredName}' is ({string.Join(", ", found.StoredShape)}), expected ({string.Join(", ", shape)})";
        int multiple = found.Encoding == TensorEncoding.I2_S ? StridedPacking.GroupColumns : 1;
        if (shape[^1] % multiple != 0)
            return $"'{found.StoredName}' has {shape[^1]} columns, in I2_S expected a multiple of {multiple}";
        bool needsScale = found.Encoding is TensorEncoding.HuggingFace or TensorEncoding.Panels or TensorEncoding.DensePanels;
        if (needsScale && found.Scale is null)
            return $"the scale of '{found.StoredName}' is missing";
        if (found.Scale is not CheckpointTensor scale)
            return null;
        long scales = scale.StoredShape.Aggregate(1L, (product, size) => product * size);
        return FloatDecoding.Decodes(scale.Encoding) && (scales == 1 || (tensor.IsLinear && scales == tensor.Shape[0]))
            ? null
            : $"'{scale.StoredName}' is ({string.Join(", ", scale.StoredShape)}) of {scale.Encoding}, expected one float or one a row";
    }
}
