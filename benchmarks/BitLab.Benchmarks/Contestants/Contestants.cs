using BitLab.Core;
using static TorchSharp.torch;

namespace BitLab.Benchmarks;

/// <summary>Who is compared.</summary>
internal static class Contestants
{
    public const string Native = "BitLinear native";
    public const string NativeDense = "BitLinear native, 1.6 bits";
    public const string Managed = "BitLinear managed";
    public const string Reference = "BitLinear reference";
    public const string NativeFloat32 = "BitLinear native, float32 activations";
    public const string ManagedFloat32 = "BitLinear managed, float32 activations";
    public const string Float32 = "Linear float32";
    public const string Bfloat16 = "Linear bfloat16";
    public const string IntMmTransposed = "_int_mm int8, weights (N, K)";
    public const string IntMmStraight = "_int_mm int8, weights (K, N)";
    public const string Onnx2 = "ONNX Runtime 2 bits";
    public const string Onnx4 = "ONNX Runtime 4 bits";
    public const string Onnx8 = "ONNX Runtime 8 bits";

    /// <summary>In tables: the faster of the two.</summary>
    public const string IntMm = "_int_mm int8";

    /// <summary>In tables: the fastest of the three.</summary>
    public const string Onnx = "ONNX Runtime";

    /// <summary>Those that can run here.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        .. BitLabRuntime.HasNativeLibrary ? [Native, NativeFloat32] : Array.Empty<string>(),
        Managed, ManagedFloat32, Reference, Float32, Bfloat16, IntMmTransposed, IntMmStraight, Onnx2, Onnx4, Onnx8,
    ];

    /// <summary>Those that can be cold. A session of ONNX Runtime holds one weight.</summary>
    public static IReadOnlyList<string> ColdNames { get; } =
    [
        .. BitLabRuntime.HasNativeLibrary ? [Native, NativeDense] : Array.Empty<string>(),
        Managed, Float32, Bfloat16, IntMmTransposed,
    ];

    /// <summary>What users get: the native kernels where they were built.</summary>
    public static string Best => BitLabRuntime.HasNativeLibrary ? Native : Managed;

    /// <summary>The same with float32 activations.</summary>
    public static string BestFloat32 => BitLabRuntime.HasNativeLibrary ? NativeFloat32 : ManagedFloat32;

    /// <summary>Makes one by its name.</summary>
    /// <param name="name">One of <see cref="Names"/> or <see cref="ColdNames"/>.</param>
    /// <param name="coldBytes">More bytes of weights than these are cycled through; 0: the same weights again and
    /// again.</param>
    public static Contestant Create(string name, long coldBytes = 0) => name switch
    {
        Native => new BitLinearContestant(name, "native", ActivationDtype.Int8, coldBytes),
        NativeDense => new BitLinearContestant(name, "native", ActivationDtype.Int8, coldBytes, WeightPacking.Dense),
        Managed => new BitLinearContestant(name, "managed", ActivationDtype.Int8, coldBytes),
        Reference => new BitLinearContestant(name, "reference", ActivationDtype.Int8, coldBytes),
        NativeFloat32 => new BitLinearContestant(name, "native", ActivationDtype.Float32, coldBytes),
        ManagedFloat32 => new BitLinearContestant(name, "managed", ActivationDtype.Float32, coldBytes),
        Float32 => new LinearContestant(name, ScalarType.Float32, coldBytes),
        Bfloat16 => new LinearContestant(name, ScalarType.BFloat16, coldBytes),
        IntMmTransposed => new IntMmContestant(name, transposed: true, coldBytes),
        IntMmStraight => new IntMmContestant(name, transposed: false, coldBytes),
        Onnx2 => new OnnxContestant(name, bits: 2),
        Onnx4 => new OnnxContestant(name, bits: 4),
        Onnx8 => new OnnxContestant(name, bits: 8),
        _ => throw new ArgumentException($"'{name}' is not one of: {string.Join(", ", Names)}.", nameof(name)),
    };
}
