using System.Text.Json;

namespace BitLab.Core;

/// <summary>Writes the tensors of a model's folder as one safetensors file, or as several and their index.</summary>
public static class ShardedSafetensorsWriter
{
    /// <summary>Writes the files. Those of an earlier model in the folder are replaced, and what it had more is deleted.</summary>
    /// <param name="folder">The folder; made if it is not there.</param>
    /// <param name="tensors">Name, type, shape and what writes the bytes, as for <see cref="SafetensorsWriter"/>.</param>
    /// <param name="metadata">Strings for <c>__metadata__</c> of each file.</param>
    /// <param name="maxFileBytes">The most bytes of tensors in a file; a larger tensor has a file of its own.</param>
    /// <exception cref="ArgumentException">A name is there twice, or a tensor's bytes are not as many as announced.</exception>
    public static void Write(
        string folder,
        IReadOnlyList<(string Name, SafetensorsDtype Dtype, long[] Shape, Action<Stream> WriteTo)> tensors,
        IReadOnlyDictionary<string, string>? metadata = null,
        long maxFileBytes = long.MaxValue)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentNullException.ThrowIfNull(tensors);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxFileBytes, 1);
        Directory.CreateDirectory(folder);
        List<List<(string Name, SafetensorsDtype Dtype, long[] Shape, Action<Stream> WriteTo)>> files = Cut(tensors, maxFileBytes);
        string single = Path.Combine(folder, ShardedSafetensors.SingleName), index = Path.Combine(folder, ShardedSafetensors.IndexName);
        var written = new List<string>();
        if (files.Count <= 1)
        {
            SafetensorsWriter.Write(single, tensors, metadata);
            written.Add(ShardedSafetensors.SingleName);
            File.Delete(index);
        }
        else
        {
            for (int i = 0; i < files.Count; i++)
            {
                written.Add($"model-{i + 1:D5}-of-{files.Count:D5}.safetensors");
                SafetensorsWriter.Write(Path.Combine(folder, written[i]), files[i], metadata);
            }
            AtomicFile.Write(index, stream => WriteIndex(stream, files, written));
            File.Delete(single);
        }
        foreach (string old in Directory.EnumerateFiles(folder, "model-*-of-*.safetensors"))
        {
            if (!written.Contains(Path.GetFileName(old)))
                File.Delete(old);
        }
    }

    private static List<List<(string Name, SafetensorsDtype Dtype, long[] Shape, Action<Stream> WriteTo)>> Cut(
        IReadOnlyList<(string Name, SafetensorsDtype Dtype, long[] Shape, Action<Stream> WriteTo)> tensors, long maxFileBytes)
    {
        if (tensors.GroupBy(tensor => tensor.Name).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw new ArgumentException($"'{twice.Key}' is there twice.", nameof(tensors));
        List<List<(string Name, SafetensorsDtype Dtype, long[] Shape, Action<Stream> WriteTo)>> files = [];
        long room = 0;
        foreach ((string Name, SafetensorsDtype Dtype, long[] Shape, Action<Stream> WriteTo) tensor in tensors)
        {
            long bytes = SafetensorsWriter.ByteCount(tensor.Dtype, tensor.Shape);
            if (files.Count == 0 || bytes > room)
            {
                files.Add([]);
                room = maxFileBytes;
            }
            files[^1].Add(tensor);
            room -= bytes;
        }
        return files;
    }

    private static void WriteIndex(
        Stream stream,
        List<List<(string Name, SafetensorsDtype Dtype, long[] Shape, Action<Stream> WriteTo)>> files,
        List<string> names)
    {
        using var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
        writer.WriteStartObject();
        writer.WriteStartObject("metadata");
        writer.WriteNumber(
            "total_size", files.SelectMany(file => file).Sum(tensor => SafetensorsWriter.ByteCount(tensor.Dtype, tensor.Shape)));
        writer.WriteEndObject();
        writer.WriteStartObject("weight_map");
        for (int i = 0; i < files.Count; i++)
        {
            foreach ((string name, _, _, _) in files[i])
                writer.WriteString(name, names[i]);
        }
        writer.WriteEndObject();
        writer.WriteEndObject();
    }
}
