using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace BitLab.Core;

/// <summary>Packed weights as bytes: a 64-byte header that says what follows, the trits as they lie in memory, the
/// scales.</summary>
/// <remarks>Little-endian: magic <c>BITLABTW</c>, uint32 version (1), uint32 layout (1: panels of 32 rows, steps of 16
/// columns; 2: the dense form), int64 rows, int64 columns, uint32 granularity (0 per tensor, 1 per channel), 28 zero bytes. Trits begin at
/// byte 64, float32 scales right behind them.</remarks>
public static class PackedTernaryFile
{
    private const int HeaderBytes = 64;
    private const uint Version = 1;
    private const int ChunkBytes = 1 << 20;

    private static ReadOnlySpan<byte> Magic => "BITLABTW"u8;

    /// <summary>Writes header, trits and scales.</summary>
    /// <param name="stream">Where to.</param>
    /// <param name="weights">What.</param>
    /// <exception cref="ObjectDisposedException">The weights are disposed.</exception>
    public static void Write(Stream stream, PackedTernaryWeights weights)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(weights);
        using PackedTernaryWeights.Lease lease = weights.Rent();
        Span<byte> header = stackalloc byte[HeaderBytes];
        header.Clear();
        Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], Version);
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], (uint)weights.Packing);
        BinaryPrimitives.WriteInt64LittleEndian(header[16..], weights.Rows);
        BinaryPrimitives.WriteInt64LittleEndian(header[24..], weights.Columns);
        BinaryPrimitives.WriteUInt32LittleEndian(header[32..], weights.Granularity == Granularity.PerTensor ? 0u : 1u);
        stream.Write(header);
        for (int panel = 0; panel < PanelLayout.Panels(weights.Rows); panel++)
            stream.Write(weights.Panel(panel));
        stream.Write(MemoryMarshal.AsBytes(weights.RentedScales));
    }

    /// <summary>Reads what <see cref="Write"/> wrote, and nothing behind it.</summary>
    /// <param name="stream">Stands at the header.</param>
    /// <param name="name">What an error calls these weights.</param>
    /// <returns>The weights, which the caller disposes.</returns>
    /// <exception cref="InvalidDataException">The header is not of this version, the data are cut short, or hold what no
    /// packing makes.</exception>
    public static unsafe PackedTernaryWeights Read(Stream stream, string name = "weight")
    {
        ArgumentNullException.ThrowIfNull(stream);
        Span<byte> header = stackalloc byte[HeaderBytes];
        int got = stream.ReadAtLeast(header, HeaderBytes, throwOnEndOfStream: false);
        if (got < HeaderBytes || !header.StartsWith(Magic))
            throw new InvalidDataException($"'{name}' does not begin with the header of packed ternary weights.");
        uint version = BinaryPrimitives.ReadUInt32LittleEndian(header[8..]);
        uint layout = BinaryPrimitives.ReadUInt32LittleEndian(header[12..]);
        if (version != Version || layout is not ((uint)WeightPacking.TwoBit or (uint)WeightPacking.Dense))
        {
            throw new InvalidDataException(
                $"'{name}' is version {version}, layout {layout}; this BitLab reads version {Version}, layouts 1 and 2.");
        }
        long rows = BinaryPrimitives.ReadInt64LittleEndian(header[16..]);
        long columns = BinaryPrimitives.ReadInt64LittleEndian(header[24..]);
        uint granularityCode = BinaryPrimitives.ReadUInt32LittleEndian(header[32..]);
        if (rows is < 1 or > int.MaxValue || columns is < 1 or > PackedTernaryWeights.MaxColumns || granularityCode > 1
            || header[36..].ContainsAnyExcept((byte)0))
        {
            throw new InvalidDataException(
                $"The header of '{name}' is damaged: ({rows}, {columns}), granularity {granularityCode}.");
        }
        Granularity granularity = granularityCode == 0 ? Granularity.PerTensor : Granularity.PerChannel;
        var packing = (WeightPacking)layout;
        byte[] content = ReadExactly(
            stream,
            PanelLayout.ByteCount((int)rows, (int)columns, packing)
                + (sizeof(float) * (long)PackedTernaryWeights.CountScales((int)rows, granularity)),
            name);

        PackedTernaryWeights weights = PackedTernaryWeights.Allocate((int)rows, (int)columns, granularity, packing);
        content.CopyTo(new Span<byte>(weights.RentedData, content.Length));
        if (weights.FindDamage() is string damage)
        {
            weights.Dispose();
            throw new InvalidDataException($"'{name}' is damaged: {damage}.");
        }
        return weights;
    }

    // A header can claim any size. What it claims is allocated only as the bytes really arrive.
    private static byte[] ReadExactly(Stream stream, long byteCount, string name)
    {
        if (byteCount > Array.MaxLength)
            throw new InvalidDataException($"'{name}' claims {byteCount} bytes; a stream holds at most {Array.MaxLength}.");
        byte[] content = new byte[Math.Min(ChunkBytes, byteCount)];
        for (int filled = 0; filled < byteCount;)
        {
            if (filled == content.Length)
                Array.Resize(ref content, (int)Math.Min(2L * content.Length, byteCount));
            int got = stream.Read(content.AsSpan(filled));
            if (got == 0)
                throw new InvalidDataException($"'{name}' ends after {filled} of the {byteCount} bytes that its header claims.");
            filled += got;
        }
        return content;
    }
}
