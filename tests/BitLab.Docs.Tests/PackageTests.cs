using System.Diagnostics;
using System.Reflection;
using BitLab.Tests;

namespace BitLab.Docs.Tests;

/// <summary>The packages as their users get them: a console program in an empty folder that references them from a folder
/// feed. Slow: it packs, restores and builds.</summary>
[Trait("Category", "Slow")]
public sealed class PackageTests : IDisposable
{
    private const string Program = """
        // The first thing is LibTorch, not BitLab: the package's module initializer must have run before.
        using TorchSharp;
        using static TorchSharp.torch;
        using Tensor x = ones(2, 64);
        using var layer = new BitLab.Layers.BitLinear(64, 32);
        layer.Deploy();
        using Tensor y = layer.call(x);
        System.Console.WriteLine($"{string.Join(",", y.shape)} {BitLab.Core.BitLabRuntime.HasNativeLibrary}");
        """;

    private readonly string folder = Directory.CreateTempSubdirectory("bitlab-consumer-").FullName;

    // A version of its own, so that no package of an earlier run is taken from NuGet's cache.
    private readonly string version = $"0.0.0-test{DateTime.UtcNow:yyyyMMddHHmmssfff}";

    public void Dispose()
    {
        Directory.Delete(folder, recursive: true);
        DeletePackagesFromTheCache();
    }

    [Fact]
    public void A_program_in_an_empty_folder_runs_from_the_packages()
    {
        string configuration = typeof(PackageTests).Assembly.GetCustomAttribute<AssemblyConfigurationAttribute>()!.Configuration;
        // Whether this system needs the loader shows once LibTorch is loaded.
        TorchSharp.torch.ones(1).Dispose();
        foreach (string package in new[] { "BitLab.Core", "BitLab.Layers" })
        {
            (int packed, string packOutput) = Run(
                Repository.Root, [], "pack", Path.Combine("src", package), "--no-build", "-c", configuration, $"-p:Version={version}",
                "-p:BuildNative=" + (Core.BitLabRuntime.HasNativeLibrary ? "true" : "false"), "-o", Path.Combine(folder, "feed"));
            Assert.True(packed == 0, packOutput);
        }

        WriteProject(properties: "");
        (int built, string buildOutput) = Run(folder, [], "build", "-o", "out");
        Assert.True(built == 0, buildOutput);
        (int exit, string output) = Run(folder, [], Path.Combine("out", "Consumer.dll"));
        Assert.True(exit == 0, output);
        Assert.Contains($"2,32 {Core.BitLabRuntime.HasNativeLibrary}", output);

        // Turned off in either way, the program runs where the system is new enough, and only there.
        (int withoutLoader, _) = Run(folder, [("BITLAB_TORCH_LOADER", "0")], Path.Combine("out", "Consumer.dll"));
        Assert.Equal(!Layers.TorchNativeLoader.IsInUse, withoutLoader == 0);
        WriteProject("<BitLabTorchLoader>false</BitLabTorchLoader>");
        File.WriteAllText(Path.Combine(folder, "Program.cs"), "TorchSharp.torch.ones(1).Dispose();");
        (int rebuilt, string rebuildOutput) = Run(folder, [], "build", "-o", "out", "--no-restore");
        Assert.True(rebuilt == 0, rebuildOutput);
        (int withoutInitializer, _) = Run(folder, [], Path.Combine("out", "Consumer.dll"));
        Assert.Equal(!Layers.TorchNativeLoader.IsInUse, withoutInitializer == 0);
    }

    private void DeletePackagesFromTheCache()
    {
        foreach (string package in new[] { "bitlab.core", "bitlab.layers" })
        {
            string path = Path.Combine(
                Environment.GetEnvironmentVariable("NUGET_PACKAGES")
                    ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages"),
                package, version);
            if (Directory.Exists(path))
                Directory.Delete(path, recursive: true);
        }
    }

    private static (int Exit, string Output) Run(
        string directory, (string Name, string Value)[] environment, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", arguments)
        {
            WorkingDirectory = directory,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["DOTNET_CLI_USE_MSBUILD_SERVER"] = "0";
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        foreach ((string name, string value) in environment)
            start.Environment[name] = value;
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + errors.Result);
    }

    private void WriteProject(string properties)
    {
        File.WriteAllText(Path.Combine(folder, "Program.cs"), Program);
        // Beside the sources that the machine is set up with.
        File.WriteAllText(
            Path.Combine(folder, "nuget.config"),
            """<configuration><packageSources><add key="test" value="feed" /></packageSources></configuration>""");
        File.WriteAllText(Path.Combine(folder, "Consumer.csproj"), $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <CopyLocalLockFileAssemblies>false</CopyLocalLockFileAssemblies>
                <GenerateRuntimeConfigDevFile>true</GenerateRuntimeConfigDevFile>
                <NoWarn>NU1603</NoWarn>
                {properties}
              </PropertyGroup>
              <ItemGroup>
                <PackageReference Include="BitLab.Layers" Version="{version}" />
                <PackageReference Include="{(OperatingSystem.IsLinux() ? "libtorch-cpu-linux-x64\" Version=\"2.10.0" : "TorchSharp-cpu\" Version=\"0.107.0")}" />
              </ItemGroup>
            </Project>
            """);
    }
}
