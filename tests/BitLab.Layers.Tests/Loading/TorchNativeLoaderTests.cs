using System.Runtime.InteropServices;
using System.Text;

namespace BitLab.Layers.Tests;

public class TorchNativeLoaderTests
{
    private static bool IsLinuxX64 => OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64;

    [Fact]
    public void The_loader_is_in_use_exactly_where_the_system_is_too_old()
    {
        using TorchSharp.torch.Tensor touched = TorchSharp.torch.ones(1);
        if (!IsLinuxX64)
        {
            Assert.False(TorchNativeLoader.IsInUse);
            return;
        }
        byte[] libstdcxx = File.ReadAllBytes(MappedFile("libstdc++.so.6"));
        bool isNewEnough = libstdcxx.AsSpan().IndexOf("GLIBCXX_3.4.32\0"u8) >= 0;
        Assert.Equal(!isNewEnough, TorchNativeLoader.IsInUse);
    }

    [Fact]
    public void Registering_again_changes_nothing()
    {
        bool before = TorchNativeLoader.IsInUse;
        TorchNativeLoader.Register();
        TorchNativeLoader.Register();
        Assert.Equal(before, TorchNativeLoader.IsInUse);
    }

    [Fact]
    public void Only_the_name_the_hash_and_the_version_of_one_import_change()
    {
        if (!IsLinuxX64)
            return;
        byte[] image = File.ReadAllBytes(TorchSharpLibrary()), patched = [.. image];
        Assert.True(TorchNativeLoader.TryPatch(patched));
        int[] changed = [.. Enumerable.Range(0, image.Length).Where(i => image[i] != patched[i])];
        // The two names share a prefix, and the two version entries some bytes: at most the name, a hash and an offset.
        Assert.InRange(changed.Length, 5, "_ZSt21ios_base_library_initv".Length + 4 + 4);
        Assert.True(patched.AsSpan().IndexOf("\0_ZNSt8ios_base4InitC1Ev\0"u8) >= 0);
        Assert.False(TorchNativeLoader.TryPatch(patched), "what is patched has the import no more");
    }

    [Fact]
    public void What_is_no_such_library_stays_as_it_is()
    {
        foreach (byte[] image in new byte[][] { [], [.. "\u007fELF"u8], new byte[200], Encoding.ASCII.GetBytes(new string('x', 500)) })
        {
            byte[] copy = [.. image];
            Assert.False(TorchNativeLoader.TryPatch(copy));
            Assert.Equal(image, copy);
        }
        if (!IsLinuxX64)
            return;
        byte[] other = File.ReadAllBytes(MappedFile("libstdc++.so.6")), unchanged = [.. other];
        Assert.False(TorchNativeLoader.TryPatch(other));
        Assert.Equal(unchanged, other);
    }

    [Fact]
    public void A_library_cut_short_or_damaged_is_refused_clearly()
    {
        if (!IsLinuxX64)
            return;
        byte[] image = File.ReadAllBytes(TorchSharpLibrary());
        var random = new Random(1);
        for (int i = 0; i < 300; i++)
        {
            byte[] damaged = i % 2 == 0 ? image[..random.Next(64, image.Length)] : [.. image];
            // The header, the program headers and the dynamic section: what the reader follows.
            for (int j = 0; j < 4; j++)
                damaged[random.Next(damaged.Length < 600 ? 5 : 16, Math.Min(damaged.Length, 600))] = (byte)random.Next(256);
            try
            {
                TorchNativeLoader.TryPatch(damaged);
            }
            catch (InvalidDataException)
            {
            }
        }
    }

    private static string TorchSharpLibrary()
    {
        string folders = (string)AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES")!;
        return folders.Split(Path.PathSeparator).Select(folder => Path.Combine(folder, "libLibTorchSharp.so")).First(File.Exists);
    }

    private static string MappedFile(string name) => File.ReadLines("/proc/self/maps")
        .Select(line => line[(line.LastIndexOf(' ') + 1)..])
        .First(path => path.Contains(name, StringComparison.Ordinal));
}
