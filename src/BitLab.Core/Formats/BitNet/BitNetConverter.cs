namespace BitLab.Core;

/// <summary>Turns a BitNet model of any form into any other, holding one tensor at a time, with its tokenizer.</summary>
public static class BitNetConverter
{
    /// <summary>In folders made from a GGUF file: its tokenizer, as a GGUF file without tensors.</summary>
    public const string TokenizerFile = "tokenizer.gguf";

    // What lies beside the weights of a model and says the same whatever their form.
    private static readonly string[] Companions =
    [
        "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
        "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", TokenizerFile,
    ];

    /// <summary>Converts a model.</summary>
    /// <param name="source">A folder or a GGUF file, as <see cref="BitNetCheckpoint.Open"/> takes it.</param>
    /// <param name="target">A folder, or for GGUF a file; not the source. What is there is replaced.</param>
    /// <param name="format">The form.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellation">Ends the work between tensors; an unfinished file does not stay.</param>
    /// <exception cref="ArgumentException">Source and target are one, or an option cannot be.</exception>
    /// <exception cref="InvalidDataException">The source is damaged, or cannot be in this form.</exception>
    /// <exception cref="IOException">A file cannot be read or written.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static void Convert(
        string source, string target, BitNetFormat format, BitNetWriteOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(source);
        ArgumentException.ThrowIfNullOrEmpty(target);
        if (Path.GetFullPath(source).TrimEnd(Path.DirectorySeparatorChar) == Path.GetFullPath(target).TrimEnd(Path.DirectorySeparatorChar))
            throw new ArgumentException($"'{target}' is the source.", nameof(target));
        options ??= new BitNetWriteOptions();
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(source);
        checkpoint.Check();
        bool toGguf = format is BitNetFormat.GgufI2S or BitNetFormat.GgufTQ1 or BitNetFormat.GgufTQ2;
        if (toGguf)
            options = options with { Metadata = [.. options.Metadata, .. Metadata(checkpoint)], Name = options.Name ?? NameOf(checkpoint) };
        BitNetWriter.Write(target, format, checkpoint, options, cancellation);
        if (!toGguf)
            CopyCompanions(checkpoint, target);
    }

    private static IEnumerable<KeyValuePair<string, GgufValue>> Metadata(BitNetCheckpoint checkpoint)
    {
        if (checkpoint.Gguf is GgufFile file)
        {
            // What describes the old file's tensors is written anew.
            string own = file.Metadata[GgufFile.ArchitectureKey].AsString() + ".";
            return file.Metadata.Where(value =>
                !value.Key.StartsWith(own, StringComparison.Ordinal) && value.Key != GgufFile.AlignmentKey);
        }
        string tokenizer = Path.Combine(checkpoint.Path, TokenizerFile);
        if (!File.Exists(tokenizer))
            return GgufTokenizer.FromFolder(checkpoint.Path, checkpoint.Config);
        using GgufFile vocabulary = GgufFile.Open(tokenizer);
        return [.. vocabulary.Metadata.Where(IsTokenizers)];
    }

    private static string NameOf(BitNetCheckpoint checkpoint) =>
        checkpoint.Gguf is GgufFile file
        && file.Metadata.TryGetValue("general.name", out GgufValue? name) && name.Type == GgufValueType.String
            ? name.AsString()
            : Path.GetFileName(Path.GetFullPath(checkpoint.Path).TrimEnd(Path.DirectorySeparatorChar));

    private static bool IsTokenizers(KeyValuePair<string, GgufValue> value) =>
        value.Key.StartsWith("tokenizer.", StringComparison.Ordinal);

    private static void CopyCompanions(BitNetCheckpoint checkpoint, string target)
    {
        if (checkpoint.Gguf is GgufFile file)
        {
            if (file.Metadata.Any(IsTokenizers))
            {
                GgufWriter.Write(
                    Path.Combine(target, TokenizerFile),
                    [.. file.Metadata.Where(value => IsTokenizers(value) || value.Key == GgufFile.ArchitectureKey)], []);
            }
            return;
        }
        foreach (string name in Companions)
        {
            string from = Path.Combine(checkpoint.Path, name);
            if (File.Exists(from))
                File.Copy(from, Path.Combine(target, name), overwrite: true);
        }
    }
}
