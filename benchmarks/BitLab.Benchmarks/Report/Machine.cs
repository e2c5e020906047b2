using System.Reflection;
using System.Runtime.InteropServices;
using BitLab.Core;
using Microsoft.ML.OnnxRuntime;

namespace BitLab.Benchmarks;

/// <summary>What the figures were measured on and with.</summary>
internal static class Machine
{
    private const string CpuInfo = "/proc/cpuinfo";
    private const string Caches = "/sys/devices/system/cpu/cpu0/cache";

    /// <summary>Facts by their names.</summary>
    public static IEnumerable<(string Name, string Value)> Describe(IEnumerable<int> threadCounts) =>
    [
        ("CPU", $"{CpuModel()}, {Environment.ProcessorCount} processors{CacheSizes()}; threads: {string.Join(", ", threadCounts)}"),
        ("instruction sets that .NET uses", string.Join(", ", BitLabRuntime.CpuFeatures)),
        ("kernels", string.Join(", ", KernelRegistry.ListAvailableKernels())),
        ("memory", $"{GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (double)(1 << 30):0} GB, {Allocator()}"),
        ("system", $"{RuntimeInformation.OSDescription}, {RuntimeInformation.ProcessArchitecture}"),
        ("versions", $"BitLab {VersionOf(typeof(BitLabRuntime))}, {RuntimeInformation.FrameworkDescription}, "
            + $"TorchSharp {VersionOf(typeof(TorchSharp.torch))} with LibTorch {TorchSharp.torch.__version__}, "
            + $"ONNX Runtime {OrtEnv.Instance().GetVersionString()}"),
    ];

    private static string CpuModel() => File.Exists(CpuInfo)
        ? File.ReadLines(CpuInfo).FirstOrDefault(line => line.StartsWith("model name"))?.Split(':')[1].Trim() ?? "unknown"
        : Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? "unknown";

    private static string CacheSizes() => Directory.Exists(Caches)
        ? ", " + string.Join(", ", from index in Directory.GetDirectories(Caches, "index*").Order()
                                   where File.Exists(Path.Combine(index, "size")) && Read(index, "type") != "Instruction"
                                   select $"L{Read(index, "level")} {Read(index, "size")}")
        : "";

    private static string Read(string folder, string file) => File.ReadAllText(Path.Combine(folder, file)).Trim();

    // The outputs of LibTorch's and BitLab's layers are allocated in each call, so how that is done matters.
    private static string Allocator()
    {
        string[] changed = [.. from name in (string[])["LD_PRELOAD", "MALLOC_CONF", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_TOP_PAD_"]
                               let value = Environment.GetEnvironmentVariable(name)
                               where !string.IsNullOrEmpty(value)
                               // The files' names, not where they lie.
                               select $"{name}={string.Join(' ', value.Split(' ').Select(Path.GetFileName))}"];
        return changed.Length == 0 ? "the system's own malloc with its defaults" : $"malloc changed by {string.Join(", ", changed)}";
    }

    // With the commit, where the build knows it.
    private static string VersionOf(Type type) =>
        type.Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion is var version
            && version.IndexOf('+') is > 0 and var plus
            ? $"{version[..plus]} (commit {version[(plus + 1)..Math.Min(version.Length, plus + 8)]})"
            : version;
}
