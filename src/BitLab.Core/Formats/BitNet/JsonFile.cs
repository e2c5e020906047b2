using System.Text.Json;

namespace BitLab.Core;

/// <summary>Small JSON files from outside.</summary>
internal static class JsonFile
{
    private const long MaxBytes = 64 << 20;
    private const int MaxDepth = 32;

    /// <summary>Reads a file whose root is an object.</summary>
    /// <param name="path">The file.</param>
    /// <param name="read">Makes something of the object, which does not outlive the call.</param>
    /// <exception cref="InvalidDataException">It is too long, too deep, no JSON or no object, or a string in it is no
    /// text.</exception>
    public static T Read<T>(string path, Func<JsonElement, T> read)
    {
        using JsonDocument document = Parse(path);
        try
        {
            return read(document.RootElement);
        }
        catch (InvalidOperationException e)
        {
            // Half a surrogate pair is allowed in JSON, and no .NET string is made of it.
            throw new InvalidDataException($"'{path}' holds a string that is no text: {e.Message}", e);
        }
    }

    private static JsonDocument Parse(string path)
    {
        using FileStream stream = File.OpenRead(path);
        if (stream.Length > MaxBytes)
            throw new InvalidDataException($"'{path}' has {stream.Length} bytes; BitLab reads at most {MaxBytes} of JSON.");
        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        try
        {
            // A mark of the byte order is no JSON, but some editors leave one.
            ReadOnlyMemory<byte> json = bytes.AsSpan().StartsWith("\uFEFF"u8) ? bytes.AsMemory(3) : bytes;
            JsonDocument document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = MaxDepth });
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                return document;
            document.Dispose();
            throw new InvalidDataException($"'{path}' is no JSON object.");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"'{path}' is not JSON: {e.Message}", e);
        }
    }
}
