namespace BitLab.Core.Tests;

/// <summary>Damaged files end in an error that names them, or in a load: never in a crash, a hang or a huge allocation.</summary>
public sealed class HostileFilesTests : IDisposable
{
    // Files of a few KB: nothing that they claim is worth a MB.
    private const long MostBytes = 4 << 20;

    private readonly string folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    /// <summary>A file, its form, and how often it is changed: often for each format of files, less for its variants.</summary>
    public static TheoryData<string, BitNetFormat, int> FilesOfEveryForm() => new()
    {
        { "model.safetensors", BitNetFormat.HuggingFace, 10_000 },
        { "model.safetensors", BitNetFormat.BitLab, 2_000 },
        { "model.safetensors", BitNetFormat.BitLabDense, 2_000 },
        { "config.json", BitNetFormat.HuggingFace, 5_000 },
        { "generation_config.json", BitNetFormat.HuggingFace, 1_000 },
        { "model.safetensors.index.json", BitNetFormat.HuggingFace, 10_000 },
        { "model.gguf", BitNetFormat.GgufI2S, 10_000 },
        { "model.gguf", BitNetFormat.GgufTQ1, 2_000 },
        { "model.gguf", BitNetFormat.GgufTQ2, 2_000 },
    };

    [Theory, MemberData(nameof(FilesOfEveryForm))]
    public void Every_truncation_is_an_error_or_a_load(string name, BitNetFormat format, int flips)
    {
        byte[] whole = File.ReadAllBytes(Write(name, format));
        // Beyond the header, a cut is a cut. What is changed less often is also cut less often.
        int every = whole.Length > 6000 || flips < 5000 ? 37 : 1;
        for (int length = 0; length < whole.Length; length += length < 3000 && flips >= 5000 ? 1 : every)
            Open(name, whole.AsSpan(0, length), $"cut to {length}");
    }

    [Theory, MemberData(nameof(FilesOfEveryForm))]
    public void Random_flips_are_an_error_or_a_load(string name, BitNetFormat format, int flips)
    {
        byte[] whole = File.ReadAllBytes(Write(name, format));
        var random = new Random(42);
        int loaded = 0;
        for (int i = 0; i < flips; i++)
        {
            byte[] changed = [.. whole];
            int count = 1 + random.Next(3);
            string what = "";
            for (int flip = 0; flip < count; flip++)
            {
                // The headers are where harm is done: half of the flips are there.
                int at = random.Next(random.Next(2) == 0 ? Math.Min(3000, whole.Length) : whole.Length);
                byte to = (byte)(random.Next(2) == 0 ? changed[at] ^ (1 << random.Next(8)) : random.Next(256));
                what += $"{at}: {changed[at]} to {to}, ";
                changed[at] = to;
            }
            if (Open(name, changed, what))
                loaded++;
        }
        Assert.InRange(loaded, 1, flips - 1);
    }

    private bool Open(string name, ReadOnlySpan<byte> bytes, string what)
    {
        // A new file each time: one that is mapped may not be changed.
        string path = Path.Combine(folder, name);
        File.Delete(path);
        File.WriteAllBytes(path, bytes);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Exception? thrown = null;
        long held = 0;
        try
        {
            using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(name.EndsWith(".gguf", StringComparison.Ordinal) ? path : folder);
            checkpoint.Check();
            foreach (BitNetTensor tensor in checkpoint.Config.Tensors())
            {
                checkpoint.ReadFloats(tensor.Name);
                if (!tensor.IsLinear)
                    continue;
                checkpoint.LinearKind(tensor.Name);
                checkpoint.GranularityOf(tensor.Name);
                using PackedTernaryWeights weights = checkpoint.ReadTernary(tensor.Name);
                held = Math.Max(held, weights.ByteCount);
            }
        }
        catch (Exception e) when (e is InvalidDataException or QuantizationException)
        {
            Assert.Contains(folder, e.Message);
            thrown = e;
        }
        catch (IOException e)
        {
            // A name in the index of a file that is not there.
            Assert.Equal("model.safetensors.index.json", name);
            thrown = e;
        }
        catch (Exception e)
        {
            Assert.Fail($"{name}, {what}: {e}");
        }
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < MostBytes, what);
        Assert.InRange(held, 0, MostBytes);
        return thrown is null;
    }

    private string Write(string name, BitNetFormat format)
    {
        bool isGguf = name == "model.gguf";
        // The least that the forms can be.
        int width = format is BitNetFormat.GgufTQ1 or BitNetFormat.GgufTQ2 ? 256 : isGguf ? 128 : 16;
        var model = new TinyModel(TinyModel.SmallConfig with
        {
            VocabSize = 4,
            HiddenSize = width,
            IntermediateSize = width,
            NumHiddenLayers = 1,
            NumAttentionHeads = 2,
            NumKeyValueHeads = 1,
            HeadDim = width / 2,
        });
        string source = Directory.CreateDirectory(Path.Combine(folder, "source")).FullName;
        model.WriteHuggingFace(source);
        File.WriteAllText(Path.Combine(source, "generation_config.json"), """{"eos_token_id":[2,3],"bos_token_id":1}""");
        BitNetConverter.Convert(
            source, isGguf ? Path.Combine(folder, name) : folder, format,
            name == "model.safetensors.index.json" ? new() { MaxFileBytes = 300 } : null);
        Directory.Delete(source, recursive: true);
        return Path.Combine(folder, name);
    }
}
