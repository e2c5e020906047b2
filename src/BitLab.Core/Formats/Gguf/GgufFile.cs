using System.Text;
using Microsoft.Win32.SafeHandles;

namespace BitLab.Core;

/// <summary>One tensor of a GGUF file: where it is and what it is.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Its type.</param>
/// <param name="Shape">Its shape as everywhere in BitLab, the longest stride first: (out features, in features). The file states it in
/// reverse.</param>
/// <param name="Offset">Where in the file its bytes begin.</param>
/// <param name="ByteCount">How many there are; for types that BitLab does not know, those to the next tensor.</param>
public sealed record GgufTensor(string Name, GgufTensorType Type, IReadOnlyList<long> Shape, long Offset, long ByteCount);

/// <summary>Reads a GGUF file, version 2 or 3, little-endian: metadata, tensors' places, tensors.</summary>
/// <remarks>The file is memory-mapped. Everything that the header says is checked before any tensor is read or anything of a size that it
/// claims is allocated; what is wrong is told with the file's and the thing's name.</remarks>
public sealed class GgufFile : IDisposable
{
    internal const uint Magic = 0x46554747;
    internal const string AlignmentKey = "general.alignment";
    internal const string ArchitectureKey = "general.architecture";
    internal const string FileTypeKey = "general.file_type";
    internal const int DefaultAlignment = 32;
    internal const int MaxDimensions = 4;

    private const int MaxAlignment = 1 << 24;

    private readonly MappedFile file;
    private readonly Dictionary<string, GgufValue> metadata = new(StringComparer.Ordinal);
    private readonly Dictionary<string, GgufTensor> tensors = new(StringComparer.Ordinal);

    // The mapping outlives this as long as any of its bytes are held.
    private bool isDisposed;

    private GgufFile(string path, MappedFile file)
    {
        Path = path;
        this.file = file;
    }

    /// <summary>The file's path.</summary>
    public string Path { get; }

    /// <summary>2 or 3.</summary>
    public int Version { get; private set; }

    /// <summary>Every tensor begins at a multiple of it, counted from the first.</summary>
    public int Alignment { get; private set; } = DefaultAlignment;

    /// <summary>The metadata by key, in the file's order.</summary>
    public IReadOnlyDictionary<string, GgufValue> Metadata => metadata;

    /// <summary>The tensors by name, in the file's order.</summary>
    public IReadOnlyDictionary<string, GgufTensor> Tensors => tensors;

    /// <summary>Whether the numbers 36 to 39 are bitnet.cpp's types: its architecture begins with <c>bitnet</c>, or its file type is
    /// one of bitnet.cpp's (38, 39, 40).</summary>
    public bool HasBitNetTypes =>
        (metadata.TryGetValue(ArchitectureKey, out GgufValue? architecture) && architecture.Type == GgufValueType.String
            && architecture.AsString().StartsWith("bitnet", StringComparison.Ordinal))
        || (metadata.TryGetValue(FileTypeKey, out GgufValue? fileType) && fileType.Type == GgufValueType.UInt32
            && fileType.AsInteger() is 38 or 39 or 40);

    /// <summary>Opens a file and checks what it says of itself.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The open file, which the caller disposes.</returns>
    /// <exception cref="InvalidDataException">The file contradicts the format.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static GgufFile Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using SafeFileHandle handle = File.OpenHandle(path);
        long byteCount = RandomAccess.GetLength(handle);
        if (byteCount == 0)
            throw new InvalidDataException($"'{path}' is no sound GGUF file: it is empty.");
        var opened = new GgufFile(path, MappedFile.Of(handle, byteCount));
        try
        {
            opened.ReadHeader();
            return opened;
        }
        catch
        {
            opened.Dispose();
            throw;
        }
    }

    /// <summary>A tensor's bytes where they lie in the system's file cache.</summary>
    /// <param name="tensor">One of <see cref="Tensors"/>.</param>
    /// <returns>The bytes, which the caller disposes.</returns>
    /// <exception cref="ObjectDisposedException">The file is disposed.</exception>
    public MappedBytes Map(GgufTensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        ObjectDisposedException.ThrowIf(isDisposed, this);
        return new MappedBytes(file, tensor.Offset, tensor.ByteCount);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        isDisposed = true;
        file.Dispose();
    }

    private void ReadHeader()
    {
        var reader = new GgufReader(file, Path);
        if (reader.UInt32("the magic number") != Magic)
            throw reader.Damaged("it does not begin with GGUF");
        uint version = reader.UInt32("the version");
        if (version is not (2 or 3))
            throw reader.Damaged($"it is version {version}; BitLab reads versions 2 and 3, little-endian");
        Version = (int)version;
        ulong tensorCount = reader.UInt64("the number of tensors"), valueCount = reader.UInt64("the number of metadata values");
        // Nothing is reserved for what is claimed: a count that lies ends with the file.
        for (ulong i = 0; i < valueCount; i++)
        {
            string key = reader.Text($"metadata key {i}");
            if (!metadata.TryAdd(key, reader.Value($"metadata '{key}'")))
                throw reader.Damaged($"metadata '{key}' is there twice");
        }
        Alignment = ReadAlignment(reader);
        bool isBitNet = HasBitNetTypes;
        var infos = new List<(string Name, GgufTensorType Type, long[] Shape, ulong Offset)>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (ulong i = 0; i < tensorCount; i++)
        {
            string name = reader.Text($"the name of tensor {i}");
            if (!names.Add(name))
                throw reader.Damaged($"tensor '{name}' is there twice");
            long[] shape = ReadShape(reader, name);
            GgufTensorType type = GgufTensorTypes.Of(reader.UInt32($"tensor '{name}'"), isBitNet);
            infos.Add((name, type, shape, reader.UInt64($"tensor '{name}'")));
        }
        long dataStart = (reader.Position + Alignment - 1) / Alignment * Alignment;
        Place(reader, infos, dataStart);
    }

    private int ReadAlignment(GgufReader reader)
    {
        if (!metadata.TryGetValue(AlignmentKey, out GgufValue? value))
            return DefaultAlignment;
        if (value.Type != GgufValueType.UInt32 || value.AsInteger() is < 1 or > MaxAlignment
            || !System.Numerics.BitOperations.IsPow2(value.AsInteger()))
            throw reader.Damaged($"{AlignmentKey} is {value}, no power of two up to {MaxAlignment}");
        return (int)value.AsInteger();
    }

    private static long[] ReadShape(GgufReader reader, string name)
    {
        uint dimensions = reader.UInt32($"tensor '{name}'");
        if (dimensions > MaxDimensions)
            throw reader.Damaged($"tensor '{name}' has {dimensions} dimensions");
        long[] shape = new long[dimensions];
        Int128 values = 1;
        for (int i = shape.Length - 1; i >= 0; i--)
        {
            ulong size = reader.UInt64($"tensor '{name}'");
            values *= size;
            if (size > long.MaxValue || values > long.MaxValue)
                throw reader.Damaged($"tensor '{name}' has more than 2^63 values");
            shape[i] = (long)size;
        }
        return shape;
    }

    private void Place(GgufReader reader, List<(string Name, GgufTensorType Type, long[] Shape, ulong Offset)> infos, long dataStart)
    {
        long room = Math.Max(0, file.ByteCount - dataStart);
        ulong[] starts = [.. infos.Select(info => info.Offset).Order()];
        foreach ((string name, GgufTensorType type, long[] shape, ulong offset) in infos)
        {
            if (offset > (ulong)room || offset % (ulong)Alignment != 0)
                throw reader.Damaged($"tensor '{name}' lies at {offset} of {room} bytes, aligned to {Alignment}");
            int after = Array.BinarySearch(starts, offset);
            while (after >= 0 && after < starts.Length && starts[after] == offset)
                after++;
            long next = after < starts.Length ? (long)starts[after] : room;
            long values = shape.Aggregate(1L, (product, size) => product * size);
            long? known = type.ByteCount(shape.Length > 0 ? shape[^1] : 1, values);
            bool isSized = type is not (GgufTensorType.Unknown or GgufTensorType.I8_S or GgufTensorType.TL1 or GgufTensorType.TL2);
            if (isSized && known is null)
                throw reader.Damaged($"tensor '{name}' cannot be {type} with the shape ({string.Join(", ", shape)})");
            long byteCount = known ?? Math.Max(0, next - (long)offset);
            if (byteCount > room - (long)offset)
            {
                throw reader.Damaged(
                    $"tensor '{name}', {type} ({string.Join(", ", shape)}), needs {byteCount} bytes at {offset} of {room}");
            }
            tensors.Add(name, new GgufTensor(name, type, shape, dataStart + (long)offset, byteCount));
        }
        CheckOverlaps(reader);
    }

    private void CheckOverlaps(GgufReader reader)
    {
        GgufTensor? before = null;
        foreach (GgufTensor tensor in tensors.Values.Where(tensor => tensor.ByteCount > 0).OrderBy(tensor => tensor.Offset))
        {
            if (before is not null && tensor.Offset < before.Offset + before.ByteCount)
                throw reader.Damaged($"tensors '{before.Name}' and '{tensor.Name}' overlap");
            before = tensor;
        }
    }
}
