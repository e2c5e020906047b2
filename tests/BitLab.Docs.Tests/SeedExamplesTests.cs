using BitLab.Core;
using BitLab.Layers;
using BitLab.Tests;
using SeedExamples;

namespace BitLab.Docs.Tests;

/// <summary>The examples of the Python original's README, in C#: SeedExamples.cs is part of the public contract and stays as
/// it is.</summary>
[Collection(nameof(ConsoleCollection))]
public class SeedExamplesTests
{
    private static readonly BitQuantConfig Int8PerTensor = new() { ActivationGranularity = Granularity.PerTensor };

    [Fact]
    public void The_installation_is_verified()
    {
        IBitKernel kernel = null!;
        string output = ConsoleOutput.Of(() => kernel = Examples.VerifyInstallation());
        Assert.Same(KernelRegistry.GetKernelForConfig(Int8PerTensor), kernel);
        Assert.Contains($"Kernel: {kernel.Name}", output);
        Assert.Contains("  reference: reference", output);
    }

    [Fact]
    public void The_first_layer_prints_its_shapes_and_real_bytes()
    {
        string output = ConsoleOutput.Of(Examples.FirstLayer);
        Assert.Contains("Training output shape: [32, 256]", output);
        Assert.Contains("Quantized output shape: [32, 256]", output);
        Assert.Contains("Quantized weight dtype: Int8", output);
        Assert.Contains($"Bytes held: {(512 * 256 / 4) + 4} instead of {512 * 256 * 4}", output);
    }

    [Fact]
    public void A_model_takes_the_layer_in_place_of_Linear() => Assert.Equal([64, 10], Examples.DropIn());

    [Fact]
    public void A_ready_model_is_made_from_its_config() => Assert.Equal([1, 10], Examples.PrebuiltModel());

    [Fact]
    public void Memory_is_measured()
    {
        MemoryComparison comparison = null!;
        ConsoleOutput.Of(() => comparison = Examples.Memory());
        // 1000 × 1000 floats and 1000 biases, against 32 panels of 63 steps of 128 bytes, a scale and the biases.
        Assert.Equal((4_004_000L, (32 * 63 * 128) + 4 + 4000L), (comparison.BaselineBytes, comparison.QuantizedBytes));
        Assert.InRange(comparison.Reduction, 0.93, 0.94);
    }

    [Fact]
    public void A_deployed_model_comes_back_the_same()
    {
        string folder = Directory.CreateTempSubdirectory("bitlab-").FullName;
        Assert.True(Examples.DeployAndReload(folder));
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void A_bad_config_says_what_is_bad() => Assert.Contains("per_galaxy", Examples.BadConfig());

    [Fact]
    public void The_file_is_the_contract_to_the_letter()
    {
        string source = File.ReadAllText(Path.Combine(Repository.Root, "tests", "BitLab.Docs.Tests", "SeedExamples.cs"));
        byte[] hash = System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(source.ReplaceLineEndings("\n")));
        Assert.Equal("dca4ef4fcefa2ff853073a388a92f77f9b98fed11811a5c099336c84f69d5ea3", Convert.ToHexStringLower(hash));
    }
}
