using System.Text.Json;

namespace BitLab.Core;

/// <summary>Small JSON files from outside.</summary>
internal static class JsonFile
{
    private const long MaxBytes = 64 << 20;
    private const int MaxDepth = 32;

    /// <summary>Parses a file whose root is an object.</summary>
    /// <exception cref="InvalidDataException">It is too long, too deep, no JSON or no object.</exception>
    public static JsonDocument Parse(string path)
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
