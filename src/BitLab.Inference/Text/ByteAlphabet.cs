using System.Text;

namespace BitLab.Inference;

/// <summary>How vocabularies of byte-level BPE write bytes as characters: printable ones as themselves, the others as
/// characters from U+0100 up.</summary>
/// <remarks>The table is GPT-2's: itself are '!' to '~', '¡' to '¬' and '®' to 'ÿ'.</remarks>
internal static class ByteAlphabet
{
    private static readonly char[] Characters = Build();
    private static readonly Dictionary<char, byte> Bytes =
        Enumerable.Range(0, 256).ToDictionary(b => Characters[b], b => (byte)b);

    public static char CharacterOf(byte value) => Characters[value];

    /// <summary>Some text as the vocabulary writes its UTF-8 bytes.</summary>
    public static string Write(ReadOnlySpan<char> text)
    {
        byte[] utf8 = new byte[Encoding.UTF8.GetByteCount(text)];
        Encoding.UTF8.GetBytes(text, utf8);
        return string.Create(utf8.Length, utf8, (characters, bytes) =>
        {
            for (int i = 0; i < bytes.Length; i++)
                characters[i] = Characters[bytes[i]];
        });
    }

    /// <summary>The bytes of a token, or null where it is not written in this alphabet.</summary>
    public static byte[]? Read(string token)
    {
        byte[] bytes = new byte[token.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            if (!Bytes.TryGetValue(token[i], out bytes[i]))
                return null;
        }
        return bytes;
    }

    private static char[] Build()
    {
        char[] characters = new char[256];
        int next = 0x100;
        for (int b = 0; b < characters.Length; b++)
        {
            bool isItself = b is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            characters[b] = isItself ? (char)b : (char)next++;
        }
        return characters;
    }
}
