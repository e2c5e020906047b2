using System.Buffers.Binary;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace BitLab.Core;

/// <summary>One tensor of a safetensors file: where it is and what it is.</summary>
/// <param name="Name">Its key.</param>
/// <param name="Dtype">Its element type.</param>
/// <param name="Shape">Its shape; empty for a scalar.</param>
/// <param name="Offset">Where in the file its bytes begin.</param>
/// <param name="ByteCount">How many there are.</param>
public sealed record SafetensorsEntry(string Name, SafetensorsDtype Dtype, IReadOnlyList<long> Shape, long Offset, long ByteCount);

/// <summary>Reads a safetensors file: an 8-byte length, a JSON header of that length, the tensors' bytes.</summary>
/// <remarks>The whole header is checked before any tensor is read: every tensor lies inside the file, has the size that its
/// shape says, and shares no byte with another. What is wrong is told with the file's and the tensor's name.</remarks>
public sealed class SafetensorsFile : IDisposable
{
    /// <summary>The longest header that is read, 100 MB, as in the format's own implementation.</summary>
    public const long MaxHeaderBytes = 100_000_000;

    private readonly SafeFileHandle file;
    private readonly Lock mapping = new();
    private readonly Dictionary<string, SafetensorsEntry> entries = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> metadata = new(StringComparer.Ordinal);

    private MappedFile? mapped;

    private SafetensorsFile(string path, SafeFileHandle file)
    {
        Path = path;
        this.file = file;
    }

    /// <summary>The file's path.</summary>
    public string Path { get; }

    /// <summary>The tensors by name, in the order of the header.</summary>
    public IReadOnlyDictionary<string, SafetensorsEntry> Entries => entries;

    /// <summary>The strings under <c>__metadata__</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata => metadata;

    /// <summary>Opens a file and checks its header.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The open file, which the caller disposes.</returns>
    /// <exception cref="InvalidDataException">The header contradicts the format or the file.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static SafetensorsFile Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        SafeFileHandle handle = File.OpenHandle(path);
        var opened = new SafetensorsFile(path, handle);
        try
        {
            opened.ReadHeader();
            return opened;
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>Reads a tensor's bytes.</summary>
    /// <param name="entry">One of <see cref="Entries"/>.</param>
    /// <param name="bytes">As long as the tensor.</param>
    /// <exception cref="ArgumentException">The length is another.</exception>
    /// <exception cref="InvalidDataException">The file has become shorter.</exception>
    public void Read(SafetensorsEntry entry, Span<byte> bytes)
    {
        ArgumentNullException.ThrowIfNull(entry);
        if (bytes.Length != entry.ByteCount)
            throw new ArgumentException($"'{entry.Name}' has {entry.ByteCount} bytes, not {bytes.Length}.", nameof(bytes));
        ReadExactly(bytes, entry.Offset, $"tensor '{entry.Name}'");
    }

    /// <summary>A tensor's bytes where they lie in the system's file cache: nothing is read or copied before it is looked
    /// at.</summary>
    /// <param name="entry">One of <see cref="Entries"/>, with at least one byte.</param>
    /// <returns>The bytes, which the caller disposes. They begin at a multiple of 64 in files that BitLab wrote, if the tensors
    /// before them have a multiple of 64 bytes.</returns>
    /// <exception cref="ArgumentException">The tensor is empty.</exception>
    /// <exception cref="InvalidDataException">The file has become shorter.</exception>
    /// <exception cref="ObjectDisposedException">The file is disposed.</exception>
    public MappedBytes Map(SafetensorsEntry entry)
    {
        ArgumentNullException.ThrowIfNull(entry);
        if (entry.ByteCount == 0)
            throw new ArgumentException($"'{entry.Name}' has no bytes.", nameof(entry));
        ObjectDisposedException.ThrowIf(file.IsClosed, this);
        return new MappedBytes(Mapped(), entry.Offset, entry.ByteCount);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        file.Dispose();
        mapped?.Dispose();
    }

    private MappedFile Mapped()
    {
        lock (mapping)
        {
            if (mapped is not null)
                return mapped;
            long end = entries.Values.Max(entry => entry.Offset + entry.ByteCount);
            if (RandomAccess.GetLength(file) < end)
                throw Damaged("it has become shorter");
            return mapped = MappedFile.Of(file, end);
        }
    }

    private void ReadHeader()
    {
        long fileBytes = RandomAccess.GetLength(file);
        Span<byte> prefix = stackalloc byte[8];
        if (fileBytes < prefix.Length)
            throw Damaged($"it has {fileBytes} bytes, too few for a header");
        ReadExactly(prefix, 0, "the header's length");
        ulong headerBytes = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (headerBytes > MaxHeaderBytes || (long)headerBytes > fileBytes - prefix.Length)
            throw Damaged($"it claims a header of {headerBytes} bytes, and has {fileBytes} in all");
        byte[] header = new byte[(int)headerBytes];
        ReadExactly(header, prefix.Length, "the header");
        try
        {
            using JsonDocument document = JsonDocument.Parse(header, new JsonDocumentOptions { MaxDepth = 8 });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw Damaged("its header is no JSON object");
            long dataStart = prefix.Length + (long)headerBytes;
            foreach (JsonProperty field in document.RootElement.EnumerateObject())
            {
                if (field.Name == "__metadata__")
                    ReadMetadata(field.Value);
                else if (!entries.TryAdd(field.Name, ReadEntry(field.Name, field.Value, dataStart, fileBytes)))
                    throw Damaged($"tensor '{field.Name}' is there twice");
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // An invalid operation is a string with half a surrogate pair.
            throw new InvalidDataException($"'{Path}' is no safetensors file: its header is not JSON. {e.Message}", e);
        }
        CheckOverlaps();
    }

    private void ReadMetadata(JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Object)
            throw Damaged("its __metadata__ is no object");
        foreach (JsonProperty field in value.EnumerateObject())
        {
            if (field.Value.ValueKind != JsonValueKind.String)
                throw Damaged($"its metadata '{field.Name}' is no string");
            metadata[field.Name] = field.Value.GetString()!;
        }
    }

    private SafetensorsEntry ReadEntry(string name, JsonElement value, long dataStart, long fileBytes)
    {
        if (value.ValueKind != JsonValueKind.Object
            || !value.TryGetProperty("dtype", out JsonElement dtypeElement) || dtypeElement.ValueKind != JsonValueKind.String
            || !value.TryGetProperty("shape", out JsonElement shapeElement)
            || !value.TryGetProperty("data_offsets", out JsonElement offsetElement))
            throw Damaged($"tensor '{name}' lacks dtype, shape or data_offsets");
        string dtypeName = dtypeElement.GetString()!;
        // Only the names themselves: TryParse also takes numbers, lists and spaces.
        if (!Enum.TryParse(dtypeName, out SafetensorsDtype dtype) || dtype.ToString() != dtypeName)
            throw Damaged($"tensor '{name}' has the dtype '{dtypeName}', which BitLab does not know");
        long[] shape = Integers(name, "shape", shapeElement);
        long[] offsets = Integers(name, "data_offsets", offsetElement);
        if (offsets.Length != 2 || offsets[0] > offsets[1] || offsets[1] > fileBytes - dataStart)
        {
            throw Damaged(
                $"tensor '{name}' lies at [{string.Join(", ", offsets)}] of the {fileBytes - dataStart} bytes behind the header");
        }
        Int128 byteCount = dtype.ElementBytes();
        foreach (long size in shape)
        {
            byteCount *= size;
            if (byteCount > long.MaxValue)
                break;
        }
        if (byteCount != offsets[1] - offsets[0])
        {
            throw Damaged(
                $"tensor '{name}' is {dtype} ({string.Join(", ", shape)}), but has {offsets[1] - offsets[0]} bytes");
        }
        return new SafetensorsEntry(name, dtype, shape, dataStart + offsets[0], offsets[1] - offsets[0]);
    }

    private long[] Integers(string name, string field, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > 64)
            throw Damaged($"the {field} of tensor '{name}' is no short array");
        var integers = new List<long>();
        foreach (JsonElement element in value.EnumerateArray())
        {
            if (element.ValueKind != JsonValueKind.Number || !element.TryGetInt64(out long integer) || integer < 0)
                throw Damaged($"the {field} of tensor '{name}' holds {element.GetRawText()}");
            integers.Add(integer);
        }
        return [.. integers];
    }

    private void CheckOverlaps()
    {
        SafetensorsEntry? before = null;
        foreach (SafetensorsEntry entry in entries.Values.Where(e => e.ByteCount > 0).OrderBy(e => e.Offset))
        {
            if (before is not null && entry.Offset < before.Offset + before.ByteCount)
                throw Damaged($"tensors '{before.Name}' and '{entry.Name}' overlap");
            before = entry;
        }
    }

    private void ReadExactly(Span<byte> bytes, long offset, string what)
    {
        while (!bytes.IsEmpty)
        {
            int got = RandomAccess.Read(file, bytes, offset);
            if (got == 0)
                throw Damaged($"it ends within {what}");
            bytes = bytes[got..];
            offset += got;
        }
    }

    private InvalidDataException Damaged(string what) => new($"'{Path}' is no sound safetensors file: {what}.");
}
