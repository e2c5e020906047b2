using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BitLab.Core;

/// <summary>A matrix of ternary weights as it is held, multiplied and filed: 2 bits a weight, or 1.6 after
/// <see cref="Repack"/>, and a scale for all rows or for each.</summary>
/// <remarks>
/// The trits lie in 64-byte aligned native memory that this object owns (or, inside BitLab, in memory that its owner keeps
/// alive); <see cref="Dispose()"/> frees it, at the latest when running multiplications end. The layout is that of
/// docs/packed-layout.md: panels of 32 rows and steps of 16 columns, padded with zero trits. Instances do not change and
/// may be read by many threads.
/// </remarks>
public sealed unsafe class PackedTernaryWeights : IDisposable, IEquatable<PackedTernaryWeights>
{
    /// <summary>The most columns (in features) a matrix may have, 524,288: up to there no kernel's int32 sums overflow,
    /// whatever the activations.</summary>
    /// <remarks>The widest lane sum is that of a kernel that leaves codes of up to 2 at bit 6 of their byte: each fourth
    /// column adds at most 128 · 127, and 2^19 / 4 of those stay below 2^31.</remarks>
    public const int MaxColumns = 1 << 19;

    private readonly SafeHandle owner;
    private readonly byte* data;
    private readonly float* scales;

    private PackedTernaryWeights(
        int rows, int columns, Granularity granularity, WeightPacking packing, SafeHandle owner, byte* data, float* scales)
    {
        Rows = rows;
        Columns = columns;
        Granularity = granularity;
        Packing = packing;
        this.owner = owner;
        this.data = data;
        this.scales = scales;
    }

    /// <summary>Rows of the matrix, N: the out features.</summary>
    public int Rows { get; }

    /// <summary>Columns of the matrix, K: the in features.</summary>
    public int Columns { get; }

    /// <summary><see cref="Granularity.PerTensor"/>: one scale. <see cref="Granularity.PerChannel"/>: one a row.</summary>
    public Granularity Granularity { get; }

    /// <summary>How the trits are held.</summary>
    public WeightPacking Packing { get; }

    /// <summary>The bytes of the packed trits, padding included.</summary>
    public long PackedBytes => PanelLayout.ByteCount(Rows, Columns, Packing);

    /// <summary>The bytes of all that is held: packed trits and scales.</summary>
    public long ByteCount => PackedBytes + ((long)CountScales(Rows, Granularity) * sizeof(float));

    /// <summary>The scales, one or one a row: a weight is worth scale · trit.</summary>
    /// <exception cref="ObjectDisposedException">The weights are disposed.</exception>
    public ReadOnlySpan<float> Scales
    {
        get
        {
            ObjectDisposedException.ThrowIf(owner.IsClosed, this);
            return RentedScales;
        }
    }

    /// <summary>Whether the trits lie in a mapped file.</summary>
    internal bool IsMapped => owner is MappedPanels;

    /// <summary>The packed trits, for who has rented them.</summary>
    internal byte* RentedData => data;

    /// <summary>The scales, for who has rented them.</summary>
    internal float* RentedScalePointer => scales;

    /// <summary>The scales, for who has rented them.</summary>
    internal Span<float> RentedScales => new(scales, CountScales(Rows, Granularity));

    /// <summary>The bytes that the trits of a matrix take, padding included.</summary>
    /// <param name="rows">Rows, at least 1.</param>
    /// <param name="columns">Columns, 1 to <see cref="MaxColumns"/>.</param>
    /// <param name="packing">How they are held.</param>
    /// <returns>For each 32 rows begun, 128 for each 16 columns begun; in the dense form, 512 for each 80.</returns>
    /// <exception cref="ArgumentException">A dimension is out of range.</exception>
    public static long PackedSize(int rows, int columns, WeightPacking packing = WeightPacking.TwoBit)
    {
        CheckShape(rows, columns);
        CheckPacking(packing);
        return PanelLayout.ByteCount(rows, columns, packing);
    }

    /// <summary>Quantizes a float matrix (<see cref="Absmean"/>) and packs it.</summary>
    /// <param name="weights">(rows, columns), row by row.</param>
    /// <param name="rows">Rows, at least 1.</param>
    /// <param name="columns">Columns, 1 to <see cref="MaxColumns"/>.</param>
    /// <param name="granularity">One scale, or one a row.</param>
    /// <param name="name">What an error calls these weights.</param>
    /// <param name="scaleOf">What a scale is taken from.</param>
    /// <returns>The packed weights, which the caller disposes.</returns>
    /// <exception cref="ArgumentException">The shape is out of range or not that of the weights.</exception>
    /// <exception cref="QuantizationException">A weight is NaN or infinite.</exception>
    public static PackedTernaryWeights Pack(
        ReadOnlySpan<float> weights,
        int rows,
        int columns,
        Granularity granularity,
        string name = "weight",
        WeightScale scaleOf = WeightScale.Absmean)
    {
        CheckShape(rows, columns, weights.Length);
        PackedTernaryWeights packed = Allocate(rows, columns, granularity, WeightPacking.TwoBit);
        try
        {
            if (granularity == Granularity.PerTensor)
                *packed.scales = Scale(weights, name);
            sbyte[] trits = new sbyte[columns];
            for (int row = 0; row < rows; row++)
            {
                ReadOnlySpan<float> rowWeights = weights.Slice(row * columns, columns);
                float scale = granularity == Granularity.PerTensor
                    ? *packed.scales
                    : packed.scales[row] = Scale(rowWeights, $"{name}[{row}]");
                Absmean.Quantize(rowWeights, scale, trits);
                packed.StoreRow(row, trits);
            }
            return packed;
        }
        catch
        {
            packed.Dispose();
            throw;
        }

        float Scale(ReadOnlySpan<float> some, string name) =>
            scaleOf == WeightScale.Absmedian ? Absmedian.Scale(some, name) : Absmean.Scale(some, name);
    }

    /// <summary>Packs a matrix that is ternary already.</summary>
    /// <param name="trits">(rows, columns), row by row, each -1, 0 or 1.</param>
    /// <param name="scales">One scale, or one a row.</param>
    /// <param name="rows">Rows, at least 1.</param>
    /// <param name="columns">Columns, 1 to <see cref="MaxColumns"/>.</param>
    /// <param name="granularity">What the scales are.</param>
    /// <returns>The packed weights, which the caller disposes.</returns>
    /// <exception cref="ArgumentException">The shape is out of range or not that of the trits or scales, or a value is no
    /// trit.</exception>
    public static PackedTernaryWeights FromTrits(
        ReadOnlySpan<sbyte> trits, ReadOnlySpan<float> scales, int rows, int columns, Granularity granularity)
    {
        CheckShape(rows, columns, trits.Length);
        if (scales.Length != CountScales(rows, granularity))
        {
            throw new ArgumentException(
                $"Expected {CountScales(rows, granularity)} scales for {rows} rows {granularity}, got {scales.Length}.",
                nameof(scales));
        }
        int bad = trits.IndexOfAnyExcept([(sbyte)-1, (sbyte)0, (sbyte)1]);
        if (bad >= 0)
            throw new ArgumentException($"Element {bad} is {trits[bad]}, not -1, 0 or 1.", nameof(trits));
        PackedTernaryWeights packed = Allocate(rows, columns, granularity, WeightPacking.TwoBit);
        scales.CopyTo(new Span<float>(packed.scales, scales.Length));
        for (int row = 0; row < rows; row++)
            packed.StoreRow(row, trits.Slice(row * columns, columns));
        return packed;
    }

    /// <summary>The same weights, held otherwise.</summary>
    /// <param name="packing">How.</param>
    /// <returns>New weights, which the caller disposes.</returns>
    /// <exception cref="ArgumentException">There is no such packing.</exception>
    /// <exception cref="ObjectDisposedException">The weights are disposed.</exception>
    public PackedTernaryWeights Repack(WeightPacking packing)
    {
        CheckPacking(packing);
        using Lease lease = Rent();
        PackedTernaryWeights copy = Allocate(Rows, Columns, Granularity, packing);
        RentedScales.CopyTo(copy.RentedScales);
        // A panel of the 2-bit form, as wide as the dense form takes it.
        int wide = PanelLayout.PaddedColumns(Columns, WeightPacking.Dense);
        using var buffer = new NativeBuffer(PanelLayout.PanelBytes(wide, WeightPacking.TwoBit), holdsWeights: false);
        var expanded = new Span<byte>(buffer.Pointer, (int)buffer.ByteCount);
        expanded.Fill(PanelLayout.ZeroByte);
        for (int panel = 0; panel < PanelLayout.Panels(Rows); panel++)
        {
            Span<byte> source = Panel(panel), target = copy.Panel(panel);
            if (packing == Packing)
            {
                source.CopyTo(target);
            }
            else if (packing == WeightPacking.Dense)
            {
                source.CopyTo(expanded);
                fixed (byte* dense = target)
                    DenseForm.Compress(buffer.Pointer, wide, dense);
            }
            else
            {
                fixed (byte* dense = source)
                    DenseForm.Expand(dense, wide, buffer.Pointer);
                expanded[..target.Length].CopyTo(target);
            }
        }
        return copy;
    }

    /// <summary>Writes the trits out, one a byte.</summary>
    /// <param name="trits">(rows, columns): filled with -1, 0 and 1, row by row.</param>
    /// <exception cref="ArgumentException">The length is not rows · columns.</exception>
    /// <exception cref="ObjectDisposedException">The weights are disposed.</exception>
    public void Unpack(Span<sbyte> trits)
    {
        CheckShape(Rows, Columns, trits.Length);
        using Lease lease = Rent();
        if (Packing != WeightPacking.TwoBit)
        {
            using PackedTernaryWeights twoBit = Repack(WeightPacking.TwoBit);
            twoBit.Unpack(trits);
            return;
        }
        for (int row = 0; row < Rows; row++)
            UnpackRow(row, trits.Slice(row * Columns, Columns));
    }

    /// <summary>Writes the weights out as floats: scale · trit.</summary>
    /// <param name="weights">(rows, columns), row by row.</param>
    /// <exception cref="ArgumentException">The length is not rows · columns.</exception>
    /// <exception cref="ObjectDisposedException">The weights are disposed.</exception>
    public void Unpack(Span<float> weights)
    {
        CheckShape(Rows, Columns, weights.Length);
        using Lease lease = Rent();
        if (Packing != WeightPacking.TwoBit)
        {
            using PackedTernaryWeights twoBit = Repack(WeightPacking.TwoBit);
            twoBit.Unpack(weights);
            return;
        }
        sbyte[] trits = new sbyte[Columns];
        for (int row = 0; row < Rows; row++)
        {
            UnpackRow(row, trits);
            float scale = RentedScales[Granularity == Granularity.PerTensor ? 0 : row];
            Span<float> rowWeights = weights.Slice(row * Columns, Columns);
            for (int column = 0; column < Columns; column++)
                rowWeights[column] = scale * trits[column];
        }
    }

    /// <summary>Equal shape, granularity, packing, trits and scales.</summary>
    /// <param name="other">The other weights.</param>
    /// <returns>Whether they are equal; disposed weights equal only themselves.</returns>
    public bool Equals(PackedTernaryWeights? other)
    {
        if (ReferenceEquals(this, other))
            return true;
        if (other is null || owner.IsClosed || other.owner.IsClosed
            || (Rows, Columns, Granularity, Packing) != (other.Rows, other.Columns, other.Granularity, other.Packing))
            return false;
        using Lease lease = Rent(), otherLease = other.Rent();
        if (!RentedScales.SequenceEqual(other.RentedScales))
            return false;
        for (int panel = 0; panel < PanelLayout.Panels(Rows); panel++)
        {
            if (!Panel(panel).SequenceEqual(other.Panel(panel)))
                return false;
        }
        return true;
    }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as PackedTernaryWeights);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Rows, Columns, Granularity);

    /// <summary>Frees the memory. Harmless when repeated.</summary>
    public void Dispose() => owner.Dispose();

    /// <summary>Weights over memory that a handle keeps alive; the weights take over the handle.</summary>
    internal static PackedTernaryWeights Over(
        SafeHandle owner, byte* data, float* scales, int rows, int columns, Granularity granularity, WeightPacking packing)
    {
        CheckShape(rows, columns);
        return new PackedTernaryWeights(rows, columns, granularity, packing, owner, data, scales);
    }

    /// <summary>New memory for weights that the caller fills in at once: scales hold nothing of meaning yet, trits are
    /// zero.</summary>
    internal static PackedTernaryWeights Allocate(int rows, int columns, Granularity granularity, WeightPacking packing) =>
        Allocate(rows, columns, granularity, packing, fillFrom: 0);

    /// <summary>The same of two bits, for a caller who writes every word of every row: only rows that the matrix lacks are
    /// filled.</summary>
    internal static PackedTernaryWeights AllocateForWholeRows(int rows, int columns, Granularity granularity) =>
        Allocate(rows, columns, granularity, WeightPacking.TwoBit, fillFrom: rows / PanelLayout.PanelRows);

    private static PackedTernaryWeights Allocate(
        int rows, int columns, Granularity granularity, WeightPacking packing, int fillFrom)
    {
        CheckShape(rows, columns);
        long packedBytes = PanelLayout.ByteCount(rows, columns, packing);
        int scaleCount = CountScales(rows, granularity);
        var buffer = new NativeBuffer(packedBytes + ((long)scaleCount * sizeof(float)), holdsWeights: true);
        byte* data = buffer.Pointer;
        HugePages.Advise(data, packedBytes);
        // Rows and columns that StoreRow never touches are padding, which is made of zero trits.
        byte zero = packing == WeightPacking.Dense ? DenseForm.Zero : PanelLayout.ZeroByte;
        for (long offset = fillFrom * PanelLayout.PanelBytes(columns, packing); offset < packedBytes; offset += 1 << 30)
            new Span<byte>(data + offset, (int)Math.Min(1 << 30, packedBytes - offset)).Fill(zero);
        return new PackedTernaryWeights(rows, columns, granularity, packing, buffer, data, (float*)(data + packedBytes));
    }

    internal static int CountScales(int rows, Granularity granularity) => granularity switch
    {
        Granularity.PerTensor => 1,
        Granularity.PerChannel => rows,
        _ => throw new ArgumentException($"Weights are quantized PerTensor or PerChannel, not {granularity}.", nameof(granularity)),
    };

    /// <summary>Keeps the memory from being freed until the lease is disposed.</summary>
    internal Lease Rent()
    {
        ObjectDisposedException.ThrowIf(owner.IsClosed, this);
        bool added = false;
        owner.DangerousAddRef(ref added);
        return new Lease(this);
    }

    internal Span<byte> Panel(int panel)
    {
        long bytes = PanelLayout.PanelBytes(Columns, Packing);
        return new Span<byte>(data + (panel * bytes), (int)bytes);
    }

    /// <summary>What is wrong with trits that came from outside, or null: every code is one of three, all padding is zero,
    /// every scale is finite.</summary>
    internal string? FindDamage()
    {
        foreach (float scale in RentedScales)
        {
            if (!float.IsFinite(scale))
                return $"a scale is {scale}";
        }
        return PackedDamage.Find(this);
    }

    private static void CheckPacking(WeightPacking packing)
    {
        if (packing is not (WeightPacking.TwoBit or WeightPacking.Dense))
            throw new ArgumentException($"There is no packing {packing}.", nameof(packing));
    }

    private static void CheckShape(int rows, int columns, long? length = null)
    {
        if (rows < 1 || columns is < 1 or > MaxColumns)
            throw new ArgumentException($"Expected at least 1 row and 1 to {MaxColumns} columns, got ({rows}, {columns}).");
        if (length is not null && length != (long)rows * columns)
            throw new ArgumentException($"({rows}, {columns}) has {(long)rows * columns} elements, got {length}.");
    }

    /// <summary>Packs a row of weights of two bits, for who has just allocated them.</summary>
    internal void StoreRow(int row, ReadOnlySpan<sbyte> trits)
    {
        byte* word = data + PanelLayout.RowOffset(row, Columns);
        ReadOnlySpan<uint> fours = MemoryMarshal.Cast<sbyte, uint>(trits);
        int wholeSteps = trits.Length / PanelLayout.StepColumns;
        for (int step = 0; step < wholeSteps; step++, word += PanelLayout.StepBytes)
            *(uint*)word = Word(fours.Slice(4 * step, 4));
        if (wholeSteps * PanelLayout.StepColumns < Columns)
        {
            Span<sbyte> rest = stackalloc sbyte[PanelLayout.StepColumns];
            trits[(wholeSteps * PanelLayout.StepColumns)..].CopyTo(rest);
            *(uint*)word = Word(MemoryMarshal.Cast<sbyte, uint>(rest));
        }
    }

    /// <summary>Unpacks a row of weights of two bits, for who has rented them.</summary>
    internal void UnpackRow(int row, Span<sbyte> trits)
    {
        byte* word = data + PanelLayout.RowOffset(row, Columns);
        Span<uint> step = stackalloc uint[4];
        Span<sbyte> stepTrits = MemoryMarshal.Cast<uint, sbyte>(step);
        for (int column = 0; column < trits.Length; column += PanelLayout.StepColumns, word += PanelLayout.StepBytes)
        {
            // From each byte's code 0, 1 or 2 to the trit: 1 is taken from 128 + code, where it cannot borrow from the
            // neighbour, and the 128 flipped away again.
            for (int field = 0; field < 4; field++)
                step[field] = ((PanelLayout.Codes(*(uint*)word, field) | 0x80808080) - 0x01010101) ^ 0x80808080;
            stepTrits[..Math.Min(PanelLayout.StepColumns, trits.Length - column)].CopyTo(trits[column..]);
        }
    }

    // Adding 1 to every byte of trits cannot carry: -1 + 1 would, so the bytes are first moved to 127, 128 and 129.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Word(ReadOnlySpan<uint> fours) =>
        PanelLayout.Interleave(Code(fours[0]), Code(fours[1]), Code(fours[2]), Code(fours[3]));

    private static uint Code(uint fourTrits) => (fourTrits ^ 0x80808080) - 0x7F7F7F7F;

    /// <summary>The use of weights that another thread may dispose meanwhile.</summary>
    internal readonly ref struct Lease(PackedTernaryWeights weights)
    {
        public PackedTernaryWeights Weights => weights;

        public void Dispose() => weights.owner.DangerousRelease();
    }
}
