using System.Text.Json;

namespace BitLab.Core;

/// <summary>The tensors of a model's folder: one <c>model.safetensors</c>, or several files that
/// <c>model.safetensors.index.json</c> names.</summary>
public sealed class ShardedSafetensors : IDisposable
{
    /// <summary>The file of a model that is in one piece.</summary>
    public const string SingleName = "model.safetensors";

    /// <summary>The file that says which tensor is in which piece.</summary>
    public const string IndexName = "model.safetensors.index.json";

    private const int MaxFiles = 10_000;

    private readonly List<SafetensorsFile> files = [];
    private readonly Dictionary<string, (SafetensorsFile File, SafetensorsEntry Entry)> tensors = new(StringComparer.Ordinal);

    private ShardedSafetensors()
    {
    }

    /// <summary>The files.</summary>
    public IReadOnlyList<SafetensorsFile> Files => files;

    /// <summary>The tensors of all files by name.</summary>
    public IReadOnlyDictionary<string, (SafetensorsFile File, SafetensorsEntry Entry)> Tensors => tensors;

    /// <summary>Whether a folder holds safetensors.</summary>
    /// <param name="folder">The folder.</param>
    /// <returns>Whether one of the two files is there.</returns>
    public static bool IsIn(string folder) =>
        File.Exists(Path.Combine(folder, SingleName)) || File.Exists(Path.Combine(folder, IndexName));

    /// <summary>Opens all files of a folder and checks their headers.</summary>
    /// <param name="folder">The folder.</param>
    /// <returns>The open files, which the caller disposes.</returns>
    /// <exception cref="InvalidDataException">A header or the index contradicts the format, or they each other.</exception>
    /// <exception cref="IOException">A file cannot be read, or is not there.</exception>
    public static ShardedSafetensors Open(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        var opened = new ShardedSafetensors();
        try
        {
            string single = Path.Combine(folder, SingleName);
            if (File.Exists(single))
                opened.Add(single);
            else
                opened.AddIndexed(folder);
            return opened;
        }
        catch
        {
            opened.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (SafetensorsFile file in files)
            file.Dispose();
    }

    private void AddIndexed(string folder)
    {
        string path = Path.Combine(folder, IndexName);
        Dictionary<string, string> index = JsonFile.Read(path, root => ReadIndex(path, root));
        foreach (string name in index.Values.Distinct(StringComparer.Ordinal))
            Add(Path.Combine(folder, name));
        foreach ((string tensor, string name) in index)
        {
            if (!tensors.TryGetValue(tensor, out (SafetensorsFile File, SafetensorsEntry Entry) found)
                || Path.GetFileName(found.File.Path) != name)
                throw new InvalidDataException($"'{path}' says that tensor '{tensor}' is in '{name}', where it is not.");
        }
        if (tensors.Keys.FirstOrDefault(tensor => !index.ContainsKey(tensor)) is string unknown)
            throw new InvalidDataException($"'{tensors[unknown].File.Path}' holds tensor '{unknown}', which '{path}' does not name.");
    }

    private static Dictionary<string, string> ReadIndex(string path, JsonElement root)
    {
        const string Map = "weight_map";
        if (!root.TryGetProperty(Map, out JsonElement map) || map.ValueKind != JsonValueKind.Object)
            throw new InvalidDataException($"'{path}' has no {Map}.");
        var index = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (JsonProperty tensor in map.EnumerateObject())
        {
            string? name = tensor.Value.ValueKind == JsonValueKind.String ? tensor.Value.GetString() : null;
            // A name is that of a file in this folder and leads nowhere else.
            if (string.IsNullOrEmpty(name) || name.AsSpan().ContainsAny("/\\:\0") || name is "." or "..")
            {
                throw new InvalidDataException(
                    $"'{path}' places tensor '{tensor.Name}' in {tensor.Value.GetRawText()}, which is no file of this folder.");
            }
            if (!index.TryAdd(tensor.Name, name))
                throw new InvalidDataException($"'{path}' names tensor '{tensor.Name}' twice.");
        }
        if (index.Values.Distinct(StringComparer.Ordinal).Count() > MaxFiles)
            throw new InvalidDataException($"'{path}' names more than {MaxFiles} files.");
        return index;
    }

    private void Add(string path)
    {
        SafetensorsFile file = SafetensorsFile.Open(path);
        files.Add(file);
        foreach (SafetensorsEntry entry in file.Entries.Values)
        {
            if (!tensors.TryAdd(entry.Name, (file, entry)))
                throw new InvalidDataException($"Tensor '{entry.Name}' is in '{tensors[entry.Name].File.Path}' and in '{path}'.");
        }
    }
}
