using System.Runtime.InteropServices;

namespace BitLab.Core;

/// <summary>What keeps weights alive that lie in a mapped file: the mapping, and their scales, which are few and
/// copied.</summary>
internal sealed unsafe class MappedPanels : SafeHandle
{
    private readonly MappedBytes trits;
    private readonly NativeBuffer scales;

    private MappedPanels(MappedBytes trits, NativeBuffer scales)
        : base(invalidHandleValue: 0, ownsHandle: true)
    {
        this.trits = trits;
        this.scales = scales;
        // Handles that are collected together are released in any order, so each holds on to what it needs.
        bool added = false;
        trits.DangerousAddRef(ref added);
        scales.DangerousAddRef(ref added);
        trits.Dispose();
        scales.Dispose();
        SetHandle((nint)trits.Pointer);
    }

    public override bool IsInvalid => handle == 0;

    /// <summary>Weights over mapped trits.</summary>
    /// <param name="trits">At a multiple of 64; taken over.</param>
    /// <param name="scales">One, or one a row.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="packing">How the trits are held.</param>
    public static PackedTernaryWeights Weights(
        MappedBytes trits, ReadOnlySpan<float> scales, int rows, int columns, WeightPacking packing)
    {
        var buffer = new NativeBuffer(scales.Length * sizeof(float), holdsWeights: false);
        scales.CopyTo(new Span<float>(buffer.Pointer, scales.Length));
        Granularity granularity = scales.Length == 1 ? Granularity.PerTensor : Granularity.PerChannel;
        return PackedTernaryWeights.Over(
            new MappedPanels(trits, buffer), trits.Pointer, (float*)buffer.Pointer, rows, columns, granularity, packing);
    }

    protected override bool ReleaseHandle()
    {
        trits.DangerousRelease();
        scales.DangerousRelease();
        return true;
    }
}
