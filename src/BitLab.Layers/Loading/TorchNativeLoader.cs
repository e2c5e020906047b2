using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using Microsoft.Win32.SafeHandles;

namespace BitLab.Layers;

/// <summary>Lets TorchSharp run on Linux systems whose C++ library is older than GCC 13's: Debian 12, Ubuntu 22.04.</summary>
/// <remarks>
/// <para>TorchSharp 0.107's own library was built with GCC 13 and asks for one function of that release,
/// <c>std::ios_base_library_init()</c>, version GLIBCXX_3.4.32; elsewhere, <c>std::ios_base::Init::Init()</c> of
/// GLIBCXX_3.4 does the same. Only when the ordinary load has failed does this load LibTorch's parts and then a copy of the
/// library, in memory, in which the one import has the older name. No file is written, and nothing happens where the
/// ordinary load works.</para>
/// <para>It must be registered before the first use of <c>torch</c>, because a failed first load is final for the process;
/// the package's targets compile a module initializer into every program that references it. The environment variable
/// <c>BITLAB_TORCH_LOADER=0</c> turns it off.</para>
/// </remarks>
public static unsafe partial class TorchNativeLoader
{
    /// <summary>The environment variable that turns the loader off when it is 0.</summary>
    public const string EnvironmentVariable = "BITLAB_TORCH_LOADER";

    private const string LibraryName = "LibTorchSharp";
    private const string NewImport = "_ZSt21ios_base_library_initv", NewVersion = "GLIBCXX_3.4.32";
    private const string OldImport = "_ZNSt8ios_base4InitC1Ev", OldVersion = "GLIBCXX_3.4";

    private static readonly Lock Gate = new();
    private static bool isRegistered;
    private static nint loaded;

    /// <summary>Whether TorchSharp's library was loaded this way in this process.</summary>
    public static bool IsInUse => loaded != 0;

    /// <summary>Stands by for the first load of TorchSharp's library. Harmless when repeated; does nothing outside Linux on
    /// x64.</summary>
    public static void Register()
    {
        lock (Gate)
        {
            if (isRegistered || !OperatingSystem.IsLinux() || RuntimeInformation.ProcessArchitecture != Architecture.X64
                || Environment.GetEnvironmentVariable(EnvironmentVariable) == "0")
                return;
            isRegistered = true;
        }
        AssemblyLoadContext context =
            AssemblyLoadContext.GetLoadContext(typeof(TorchNativeLoader).Assembly) ?? AssemblyLoadContext.Default;
        // Raised only after the ordinary search has failed.
        context.ResolvingUnmanagedDll += Resolve;
    }

    [ModuleInitializer]
    [SuppressMessage("Usage", "CA2255", Justification = "Catches programs without the package's targets, if a type of BitLab comes first.")]
    internal static void RegisterWithTheLibrary() => Register();

    /// <summary>Renames the import in the image of TorchSharp's library.</summary>
    internal static bool TryPatch(Span<byte> image) =>
        ElfImport.TryRename(image, NewImport, NewVersion, OldImport, OldVersion);

    private static nint Resolve(Assembly assembly, string name)
    {
        if (name != LibraryName)
            return 0;
        lock (Gate)
        {
            if (loaded != 0)
                return loaded;
            try
            {
                return loaded = Load(assembly);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or DllNotFoundException or BadImageFormatException)
            {
                // TorchSharp's own error follows and says what it misses; this is the reason behind it.
                Trace.TraceWarning($"BitLab could not load {LibraryName} in its stead: {e.Message}");
                return 0;
            }
        }
    }

    private static nint Load(Assembly assembly)
    {
        string[] parts = ["libc10.so", "libtorch_cpu.so", "libtorch.so"];
        string? library = Find("libLibTorchSharp.so", assembly);
        string?[] paths = [.. parts.Select(part => Find(part, assembly))];
        if (library is null || paths.Contains(null))
            return 0;
        byte[] image = File.ReadAllBytes(library);
        if (!TryPatch(image))
            return 0;
        // Loaded by their paths first, so that the copy, which has no folder, finds them by their names.
        foreach (string? path in paths)
            NativeLibrary.Load(path!);
        using SafeFileHandle memory = CreateMemoryFile();
        RandomAccess.Write(memory, image, 0);
        return NativeLibrary.Load($"/proc/self/fd/{memory.DangerousGetHandle()}");
    }

    private static string? Find(string file, Assembly assembly)
    {
        string searched = AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "";
        IEnumerable<string> folders =
        [
            .. searched.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries),
            AppContext.BaseDirectory,
            Path.Combine(AppContext.BaseDirectory, "runtimes", "linux-x64", "native"),
            Path.GetDirectoryName(assembly.Location) ?? "",
        ];
        return folders.Select(folder => Path.Combine(folder, file)).FirstOrDefault(File.Exists);
    }

    // A file that has no name, no folder and no other reader: nothing to clean up, and it can be executed where /tmp is
    // mounted noexec or the whole file system read-only.
    private static SafeFileHandle CreateMemoryFile()
    {
        const uint CloseOnExec = 1;
        int descriptor = memfd_create("libLibTorchSharp.so", CloseOnExec);
        return descriptor >= 0
            ? new SafeFileHandle(descriptor, ownsHandle: true)
            : throw new IOException($"memfd_create failed: {Marshal.GetLastPInvokeErrorMessage()}");
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int memfd_create(string name, uint flags);
}
