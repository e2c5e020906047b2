using BitLab.Core;

namespace BitLab.Inference.Tests;

public sealed class RandomBitNetTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("bitlab-random-").FullName;

    private static BitNetConfig Config { get; } = TinyModel.BitNet with { VocabSize = 400, BosTokenId = 300, EosTokenIds = [301] };

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Both_forms_hold_all_tensors_of_the_config()
    {
        foreach (TensorEncoding encoding in (TensorEncoding[])[TensorEncoding.Panels, TensorEncoding.HuggingFace])
        {
            RandomBitNet.Write(folder, TinyModel.WithInputNorms, 3, encoding);
            using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(folder);
            checkpoint.Check();
            Assert.Equal(encoding, checkpoint.Tensor("model.layers.0.mlp.up_proj.weight").Encoding);
            using PackedTernaryWeights weights = checkpoint.ReadTernary("model.layers.1.mlp.down_proj.weight");
            sbyte[] trits = new sbyte[72 * 100];
            weights.Unpack(trits);
            // A third each: five standard deviations of 7200 draws are 200.
            Assert.All(new[] { -1, 0, 1 }, trit => Assert.InRange(trits.Count(t => t == trit), 2200, 2600));
            Assert.Equal(1f / MathF.Sqrt(100 * (2f / 3f)), weights.Scales[0]);
        }
        Assert.Throws<ArgumentException>(() => RandomBitNet.Write(folder, Config, 3, TensorEncoding.F32));
    }

    [Fact]
    public void A_seed_gives_the_same_files_again()
    {
        string Files(long seed)
        {
            RandomBitNet.Write(folder, Config, seed);
            return Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(Path.Combine(folder, "model.safetensors"))));
        }

        string first = Files(5);
        Assert.Equal(first, Files(5));
        Assert.NotEqual(first, Files(6));
    }

    [Fact]
    public async Task A_random_model_has_a_tokenizer_and_talks()
    {
        RandomBitNet.Write(folder, Config, 1);
        BitNetTokenizer tokenizer = BitNetTokenizer.Load(folder);
        Assert.Equal([300, 'h', 0xC3, 0xA9], tokenizer.Encode("hé"));
        Assert.Equal("hé kk", tokenizer.Decode(tokenizer.Encode("hé")) + tokenizer.Decode([(10 * 26) + 10]));
        Assert.Equal((301, 399), (tokenizer.SpecialToken("<|end_of_text|>"), tokenizer.SpecialToken("<|eot_id|>")));
        using TextGenerator generator = TextGenerator.Load(folder);
        GenerationResult text = await generator.GenerateAsync("hello", new GenerationOptions { MaxTokens = 5, IgnoreEndOfText = true });
        Assert.NotEmpty(text.Text);
    }
}
