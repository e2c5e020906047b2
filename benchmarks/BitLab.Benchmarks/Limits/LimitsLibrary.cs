using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace BitLab.Benchmarks;

/// <summary>Instructions that multiply int8, by their numbers in limits.cpp.</summary>
internal enum DotInstruction
{
    Vpdpbusd512 = 0,
    Vpmaddubsw512 = 1,
    Vpmaddubsw256 = 2,
    Sdot128 = 3,
}

/// <summary>native/limits.cpp.</summary>
internal static unsafe partial class LimitsLibrary
{
    private const string Library = "bitlab_limits";

    /// <summary>Whether it was built.</summary>
    public static bool IsAvailable { get; } = NativeLibrary.TryLoad(Library, typeof(LimitsLibrary).Assembly, null, out _);

    /// <summary>Those that this machine and this build have.</summary>
    public static IReadOnlyList<DotInstruction> DotInstructions { get; } = IsAvailable
        ? [.. Enum.GetValues<DotInstruction>().Where(each => HasInstruction(each) && limits_products(each) > 0)]
        : [];

    [LibraryImport(Library)]
    public static partial long limits_products(DotInstruction instruction);

    [LibraryImport(Library)]
    public static partial long limits_dot(DotInstruction instruction, long steps);

    [LibraryImport(Library)]
    public static partial long limits_read(long* memory, long bytes);

    [LibraryImport(Library)]
    public static partial void limits_use_huge_pages(void* memory, long bytes);

    private static bool HasInstruction(DotInstruction instruction) => instruction switch
    {
        DotInstruction.Vpdpbusd512 => Avx512BW.IsSupported && HasAvx512Vnni(),
        DotInstruction.Vpmaddubsw512 => Avx512BW.IsSupported,
        DotInstruction.Vpmaddubsw256 => Avx2.IsSupported,
        DotInstruction.Sdot128 => Dp.IsSupported,
        _ => false,
    };

    // .NET has no class for it, so the CPU is asked: leaf 7, ECX, bit 11.
    private static bool HasAvx512Vnni() => (X86Base.CpuId(7, 0).Ecx & (1 << 11)) != 0;
}
