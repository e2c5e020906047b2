using System.Text;

namespace BitLab.Inference;

/// <summary>Text from the bytes of successive tokens. A character whose bytes lie in several tokens appears with the last of
/// them; bytes that are no UTF-8 become U+FFFD.</summary>
internal sealed class Utf8Pieces
{
    private readonly Decoder decoder = Encoding.UTF8.GetDecoder();

    public string Push(ReadOnlySpan<byte> bytes) => Decode(bytes, isLast: false);

    /// <summary>U+FFFD for what never became a character.</summary>
    public string Flush() => Decode([], isLast: true);

    private string Decode(ReadOnlySpan<byte> bytes, bool isLast)
    {
        int length = decoder.GetCharCount(bytes, isLast);
        if (length == 0)
        {
            // The decoder still has to take the bytes.
            decoder.GetChars(bytes, [], isLast);
            return "";
        }
        Span<char> text = length <= 256 ? stackalloc char[length] : new char[length];
        return new string(text[..decoder.GetChars(bytes, text, isLast)]);
    }
}
