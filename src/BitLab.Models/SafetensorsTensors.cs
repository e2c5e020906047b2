using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>State dicts as safetensors files.</summary>
public static class SafetensorsTensors
{
    private const int ChunkBytes = 1 << 26;

    private static readonly (ScalarType Torch, SafetensorsDtype File)[] Types =
    [
        (ScalarType.Float32, SafetensorsDtype.F32),
        (ScalarType.Float16, SafetensorsDtype.F16),
        (ScalarType.BFloat16, SafetensorsDtype.BF16),
        (ScalarType.Float64, SafetensorsDtype.F64),
        (ScalarType.Int8, SafetensorsDtype.I8),
        (ScalarType.Byte, SafetensorsDtype.U8),
        (ScalarType.Int16, SafetensorsDtype.I16),
        (ScalarType.Int32, SafetensorsDtype.I32),
        (ScalarType.Int64, SafetensorsDtype.I64),
        (ScalarType.Bool, SafetensorsDtype.BOOL),
    ];

    /// <summary>Writes tensors: packed weights first, at multiples of 64 bytes, then those of the widest types, and among equals
    /// by their names. The file is replaced only when the new one is complete.</summary>
    /// <param name="path">The file.</param>
    /// <param name="tensors">Tensors by name, on any device, of any strides.</param>
    /// <exception cref="ArgumentException">A tensor has a type that the format lacks.</exception>
    public static void Save(string path, IReadOnlyDictionary<string, Tensor> tensors) =>
        Save(path, tensors, new Dictionary<string, string>());

    /// <summary>The same, with metadata of one's own.</summary>
    internal static void Save(
        string path, IReadOnlyDictionary<string, Tensor> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        SafetensorsWriter.Write(
            path,
            [
                .. from tensor in tensors.OrderBy(tensor => tensor.Key, StringComparer.Ordinal)
                   orderby SafetensorsWriter.Place(Type(tensor), tensor.Value.shape)
                   select (tensor.Key, Type(tensor), tensor.Value.shape, (Action<Stream>)(stream => WriteBytes(stream, tensor.Value))),
            ],
            new Dictionary<string, string>(metadata) { ["format"] = "pt" });

        static SafetensorsDtype Type(KeyValuePair<string, Tensor> tensor)
        {
            foreach ((ScalarType torch, SafetensorsDtype file) in Types)
            {
                if (torch == tensor.Value.dtype)
                    return file;
            }
            throw new ArgumentException($"'{tensor.Key}' is {tensor.Value.dtype}, which safetensors files do not hold.");
        }
    }

    /// <summary>Reads all tensors of a file.</summary>
    /// <param name="path">The file.</param>
    /// <returns>New tensors on the CPU, by name, the caller's.</returns>
    /// <exception cref="InvalidDataException">The file is damaged.</exception>
    public static Dictionary<string, Tensor> Load(string path)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        var tensors = new Dictionary<string, Tensor>();
        foreach (SafetensorsEntry entry in file.Entries.Values)
        {
            if (entry.ByteCount > Array.MaxLength)
                throw new InvalidDataException($"'{path}': tensor '{entry.Name}' has {entry.ByteCount} bytes, too many for one read.");
            Tensor tensor = empty([.. entry.Shape], Types.Single(type => type.File == entry.Dtype).Torch);
            if (entry.ByteCount > 0)
                file.Read(entry, tensor.bytes);
            tensors.Add(entry.Name, tensor);
        }
        return tensors;
    }

    private static unsafe void WriteBytes(Stream stream, Tensor tensor)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor plain = tensor.detach().cpu().contiguous();
        long byteCount = plain.numel() * plain.element_size();
        if (byteCount == 0)
            return;
        byte* bytes = TensorMemory.Pointer(plain);
        for (long at = 0; at < byteCount; at += ChunkBytes)
            stream.Write(new ReadOnlySpan<byte>(bytes + at, (int)Math.Min(ChunkBytes, byteCount - at)));
    }
}
