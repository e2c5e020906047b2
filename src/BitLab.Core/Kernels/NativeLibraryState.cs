using System.Diagnostics;
using System.Runtime.InteropServices;

namespace BitLab.Core;

/// <summary>Whether the native library is there and speaks this version. Asked once, before anything is called.</summary>
internal static class NativeLibraryState
{
    static NativeLibraryState()
    {
        Description = Probe();
        IsAvailable = Description == Loaded;
        if (!IsAvailable)
            Trace.TraceWarning($"BitLab runs on its managed kernels: the native library is {Description}.");
    }

    public static bool IsAvailable { get; }

    /// <summary>"loaded", or what is wrong.</summary>
    public static string Description { get; }

    private static string Loaded => $"loaded (ABI version {NativeMethods.AbiVersion})";

    private static string Probe()
    {
        try
        {
            int version = NativeMethods.bitlab_abi_version();
            return version == NativeMethods.AbiVersion
                ? Loaded
                : $"of ABI version {version}, not {NativeMethods.AbiVersion}";
        }
        catch (DllNotFoundException)
        {
            return "not found";
        }
        catch (EntryPointNotFoundException)
        {
            return "another library of the same name";
        }
        catch (BadImageFormatException)
        {
            return $"not built for {RuntimeInformation.RuntimeIdentifier}";
        }
    }
}
