using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace BitLab.Core;

/// <summary>Looks for what no packing makes in trits that came from outside: codes that are none of the three, padding that is not
/// zero. It runs as fast as memory is read, on several threads.</summary>
internal static unsafe class PackedDamage
{
    /// <summary>What is wrong in the first damaged panel, or null.</summary>
    public static string? Find(PackedTernaryWeights weights)
    {
        int panels = PanelLayout.Panels(weights.Rows), first = panels;
        var job = new FindJob(weights, panels, &first);
        ThreadTeam.Run(ref job, ThreadTeam.PartsFor(weights.PackedBytes, panels));
        return first == panels ? null : Describe(weights, first);
    }

    private readonly struct FindJob(PackedTernaryWeights weights, int panels, int* first) : IParallelJob
    {
        public void Run(int part, int parts)
        {
            for (int panel = IParallelJob.FirstOf(part, parts, panels); panel < IParallelJob.FirstOf(part + 1, parts, panels); panel++)
            {
                if (IsSound(weights, panel))
                    continue;
                int seen = Volatile.Read(ref *first);
                while (panel < seen)
                    seen = Interlocked.CompareExchange(ref *first, panel, seen);
                return;
            }
        }
    }

    private static bool IsSound(PackedTernaryWeights weights, int panel)
    {
        Span<byte> bytes = weights.Panel(panel);
        if (weights.Packing == WeightPacking.TwoBit)
            return !HasFourthCode(bytes) && FindInPadding(weights, panel, bytes, 0) < 0;
        if (bytes.ContainsAnyExceptInRange((byte)0, DenseForm.Largest))
            return false;
        // Rows that are lacking go through the whole panel, columns that are lacking lie in its last group.
        bool lacksRows = (panel + 1) * PanelLayout.PanelRows > weights.Rows;
        int groups = bytes.Length / PanelLayout.DenseBytes;
        for (int group = lacksRows ? 0 : groups - 1; group < groups; group++)
        {
            if (FindInDenseGroup(weights, panel, bytes, group) >= 0)
                return false;
        }
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool HasFourthCode(ReadOnlySpan<byte> bytes)
    {
        Vector512<uint> fourth = default;
        foreach (Vector512<uint> codes in MemoryMarshal.Cast<byte, Vector512<uint>>(bytes))
            fourth |= codes & (codes >>> 1);
        return (fourth & Vector512.Create(PanelLayout.ZeroWord)) != default;
    }

    private static int FindInDenseGroup(PackedTernaryWeights weights, int panel, ReadOnlySpan<byte> bytes, int group)
    {
        const int ExpandedBytes = PanelLayout.DenseColumns / PanelLayout.StepColumns * PanelLayout.StepBytes;
        byte* expanded = stackalloc byte[ExpandedBytes];
        fixed (byte* dense = bytes)
            DenseForm.Expand(dense + (group * PanelLayout.DenseBytes), PanelLayout.DenseColumns, expanded);
        return FindInPadding(weights, panel, new ReadOnlySpan<byte>(expanded, ExpandedBytes), group * PanelLayout.DenseColumns);
    }

    /// <summary>The first word of some steps, from a column on, whose padding is not zero, or -1.</summary>
    private static int FindInPadding(PackedTernaryWeights weights, int panel, ReadOnlySpan<byte> steps, int firstColumn)
    {
        ReadOnlySpan<uint> words = MemoryMarshal.Cast<byte, uint>(steps);
        int rows = Math.Min(PanelLayout.PanelRows, weights.Rows - (panel * PanelLayout.PanelRows));
        for (int step = 0; step < words.Length / PanelLayout.PanelRows; step++)
        {
            int columns = weights.Columns - firstColumn - (step * PanelLayout.StepColumns);
            if (rows == PanelLayout.PanelRows && columns >= PanelLayout.StepColumns)
                continue;
            uint mask = PaddingMask(columns);
            for (int row = 0; row < PanelLayout.PanelRows; row++)
            {
                uint padding = row >= rows ? uint.MaxValue : mask;
                int at = (step * PanelLayout.PanelRows) + row;
                if ((words[at] & padding) != (PanelLayout.ZeroWord & padding))
                    return at;
            }
        }
        return -1;
    }

    // The bits of a word that belong to columns beyond the first `columns`.
    private static uint PaddingMask(int columns)
    {
        uint mask = 0;
        for (int column = Math.Max(columns, 0); column < PanelLayout.StepColumns; column++)
            mask |= 3u << ((8 * (column % 4)) + (2 * (column / 4)));
        return mask;
    }

    private static string Describe(PackedTernaryWeights weights, int panel)
    {
        ReadOnlySpan<byte> bytes = weights.Panel(panel);
        if (weights.Packing == WeightPacking.Dense)
        {
            int bad = bytes.IndexOfAnyExceptInRange((byte)0, DenseForm.Largest);
            return bad >= 0
                ? $"byte {bad} of panel {panel} is {bytes[bad]}, which is no five trits"
                : $"the padding in panel {panel} is not zero";
        }
        ReadOnlySpan<uint> words = MemoryMarshal.Cast<byte, uint>(bytes);
        for (int word = 0; word < words.Length; word++)
        {
            if ((words[word] & (words[word] >> 1) & PanelLayout.ZeroWord) != 0)
                return $"a code in panel {panel}, word {word} is none of the three trits";
        }
        return $"the padding in panel {panel}, word {FindInPadding(weights, panel, bytes, 0)} is not zero";
    }
}
