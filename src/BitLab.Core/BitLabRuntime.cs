using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using System.Text;

namespace BitLab.Core;

/// <summary>What BitLab runs on, in this process.</summary>
public static class BitLabRuntime
{
    /// <summary>The bytes of packed weights in native memory that are not freed yet.</summary>
    public static long WeightBytesHeld => NativeBuffer.WeightBytesHeld;

    /// <summary>How many threads one multiplication may use, and all that run at the same time together; 1 for none beside the
    /// caller's own.</summary>
    /// <value>What was set here; else the environment variable <c>BITLAB_NUM_THREADS</c>; else
    /// <c>torch.get_num_threads()</c>, as it is at each multiplication, where TorchSharp is used; else the number of processors.
    /// Setting 0 goes back to that. Results have the same bits for any number.</value>
    /// <exception cref="ArgumentOutOfRangeException">Set to a number below 0 or above 1024.</exception>
    /// <exception cref="BitLabException">The environment variable is no such number.</exception>
    public static int NumThreads
    {
        get => ThreadTeam.NumThreads;
        set => ThreadTeam.NumThreads = value;
    }

    /// <summary>Whether the native library was found and speaks this version.</summary>
    public static bool HasNativeLibrary => NativeLibraryState.IsAvailable;

    /// <summary>The state of the native library, for people: loaded, not found, or what is wrong with it.</summary>
    public static string NativeLibrary => NativeLibraryState.Description;

    /// <summary>The vector instruction sets of this CPU that .NET can use.</summary>
    public static IReadOnlyList<string> CpuFeatures { get; } =
    [
        .. from feature in new (string Name, bool IsSupported)[]
           {
               ("SSSE3", Ssse3.IsSupported),
               ("AVX2", Avx2.IsSupported),
               ("FMA", Fma.IsSupported),
               ("AVX-VNNI", AvxVnni.IsSupported),
               ("AVX-512F", Avx512F.IsSupported),
               ("AVX-512BW", Avx512BW.IsSupported),
               ("AVX-512VBMI", Avx512Vbmi.IsSupported),
               ("NEON", AdvSimd.IsSupported),
               ("NEON dot product", Dp.IsSupported),
           }
           where feature.IsSupported
           select feature.Name,
    ];

    /// <summary>A few lines for a bug report: system, CPU features, native library, kernels, threads.</summary>
    /// <returns>The lines.</returns>
    public static string Describe() => new StringBuilder()
        .AppendLine($"BitLab {typeof(BitLabRuntime).Assembly.GetName().Version?.ToString(3)} on {RuntimeInformation.FrameworkDescription}, "
            + $"{RuntimeInformation.OSDescription}, {RuntimeInformation.ProcessArchitecture}, {Environment.ProcessorCount} processors")
        .AppendLine($"CPU features that .NET uses: {string.Join(", ", CpuFeatures)}")
        .AppendLine($"Native library: {NativeLibrary}")
        .AppendLine($"Kernels: {string.Join(", ", KernelRegistry.ListAvailableKernels())}")
        .Append($"Threads: {NumThreads}, of {ThreadTeam.Description}")
        .ToString();
}
