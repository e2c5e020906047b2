using System.Buffers.Binary;
using System.Text;

namespace BitLab.Layers;

/// <summary>Renames one imported function in the image of a 64-bit little-endian ELF library: another symbol, of another
/// version, from the same file.</summary>
/// <remarks>The layout is that of the System V ABI and of the GNU extensions to it: DT_STRTAB, DT_SYMTAB, DT_VERSYM and
/// DT_VERNEED of the dynamic section.</remarks>
internal readonly ref struct ElfImport
{
    private const int LoadSegment = 1, DynamicSegment = 2;
    private const long StringTable = 5, SymbolTable = 6;
    private const long VersionOfSymbol = 0x6FFFFFF0, VersionsNeeded = 0x6FFFFFFE, VersionsNeededCount = 0x6FFFFFFF;
    private const int SymbolBytes = 24;
    private const int MaxLibraries = 1000;

    private readonly Span<byte> image;
    private readonly Dictionary<long, long> dynamic = [];
    private readonly List<(long Address, long Offset, long Size)> segments = [];

    private ElfImport(Span<byte> image)
    {
        this.image = image;
        (long Offset, long Size) dynamicSegment = default;
        for (int i = 0; i < U16(56); i++)
        {
            long header = I64(32) + (i * U16(54));
            if (I32(header) == LoadSegment)
                segments.Add((I64(header + 16), I64(header + 8), I64(header + 32)));
            else if (I32(header) == DynamicSegment)
                dynamicSegment = (I64(header + 8), I64(header + 32));
        }
        for (long at = dynamicSegment.Offset; at < dynamicSegment.Offset + dynamicSegment.Size && I64(at) != 0; at += 16)
            dynamic[I64(at)] = I64(at + 8);
    }

    /// <summary>Renames the import.</summary>
    /// <param name="image">The library's bytes, changed in place.</param>
    /// <param name="symbol">The import's name.</param>
    /// <param name="version">Its version, which no other import may need.</param>
    /// <param name="newSymbol">The new name, not longer.</param>
    /// <param name="newVersion">The new version, which another import from the same library must need already.</param>
    /// <returns>Whether the image had exactly this import and is changed; if not, it is as it was.</returns>
    /// <exception cref="InvalidDataException">The image is cut short or contradicts itself.</exception>
    public static bool TryRename(Span<byte> image, string symbol, string version, string newSymbol, string newVersion)
    {
        const uint ElfMagic = 0x7F454C46;
        const byte Is64Bit = 2, IsLittleEndian = 1;
        if (image.Length < 64 || BinaryPrimitives.ReadUInt32BigEndian(image) != ElfMagic
            || image[4] != Is64Bit || image[5] != IsLittleEndian || newSymbol.Length > symbol.Length)
            return false;
        try
        {
            return new ElfImport(image).TryRename(symbol, version, newSymbol, newVersion);
        }
        catch (Exception e) when (e is ArgumentOutOfRangeException or KeyNotFoundException or OverflowException)
        {
            throw new InvalidDataException("The ELF image is cut short or contradicts itself.", e);
        }
    }

    private static uint Hash(string name)
    {
        uint hash = 0;
        foreach (char c in name)
        {
            hash = (hash << 4) + c;
            uint high = hash & 0xF0000000;
            hash = (hash ^ (high >> 24)) & ~high;
        }
        return hash;
    }

    private bool TryRename(string symbol, string version, string newSymbol, string newVersion)
    {
        if (!dynamic.ContainsKey(VersionsNeeded))
            return false;
        long strings = FileOffset(dynamic[StringTable]);
        long oldNeed = 0, newNeed = 0;
        long library = FileOffset(dynamic[VersionsNeeded]), libraries = dynamic[VersionsNeededCount];
        if (libraries is < 0 or > MaxLibraries)
            throw new InvalidDataException($"The ELF image claims to need {libraries} libraries.");
        for (long i = 0; i < libraries; i++, library += I32(library + 12))
        {
            long need = library + I32(library + 8);
            for (int j = 0; j < U16(library + 2); j++, need += I32(need + 12))
            {
                string name = Text(strings + I32(need + 8));
                if (name == version)
                    oldNeed = need;
                else if (name == newVersion)
                    newNeed = need;
            }
        }
        if (oldNeed == 0 || newNeed == 0 || FindOnlySymbolOf(U16(oldNeed + 6), strings, symbol) is not long nameOffset)
            return false;

        Span<byte> symbolName = Slice(strings + nameOffset)[..symbol.Length];
        symbolName.Clear();
        Encoding.ASCII.GetBytes(newSymbol).CopyTo(symbolName);
        BinaryPrimitives.WriteUInt32LittleEndian(Slice(oldNeed), Hash(newVersion));
        BinaryPrimitives.WriteInt32LittleEndian(Slice(oldNeed + 8), I32(newNeed + 8));
        return true;
    }

    // The offset of the symbol's name, if it is the only one of its version and nothing else points into the name.
    private long? FindOnlySymbolOf(int versionIndex, long strings, string symbol)
    {
        long symbols = FileOffset(dynamic[SymbolTable]), versions = FileOffset(dynamic[VersionOfSymbol]);
        // Nothing says how many symbols there are, but linkers put the string table right behind them.
        long count = (strings - symbols) / SymbolBytes;
        if (count <= 0)
            return null;
        long? found = null;
        for (long i = 0; i < count; i++)
        {
            if ((U16(versions + (2 * i)) & 0x7FFF) != versionIndex)
                continue;
            long nameOffset = (uint)I32(symbols + (SymbolBytes * i));
            if (found is not null || Text(strings + nameOffset) != symbol)
                return null;
            found = nameOffset;
        }
        for (long i = 0; found is not null && i < count; i++)
        {
            long nameOffset = (uint)I32(symbols + (SymbolBytes * i));
            if (nameOffset > found && nameOffset < found + symbol.Length)
                return null;
        }
        return found;
    }

    private long FileOffset(long address)
    {
        foreach ((long start, long offset, long size) in segments)
        {
            if (address >= start && address < start + size)
                return address - start + offset;
        }
        throw new InvalidDataException("The ELF image points outside its segments.");
    }

    private Span<byte> Slice(long offset) => image[checked((int)offset)..];

    private string Text(long offset)
    {
        Span<byte> text = Slice(offset);
        return Encoding.ASCII.GetString(text[..text.IndexOf((byte)0)]);
    }

    private int U16(long offset) => BinaryPrimitives.ReadUInt16LittleEndian(Slice(offset));

    private int I32(long offset) => BinaryPrimitives.ReadInt32LittleEndian(Slice(offset));

    private long I64(long offset) => BinaryPrimitives.ReadInt64LittleEndian(Slice(offset));
}
