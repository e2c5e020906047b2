using BitLab.Core;

namespace BitLab.Inference.Tests;

/// <summary>Small models of random weights, in folders that go with the test.</summary>
internal sealed class TinyModel : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("bitlab-inference-").FullName;

    public TinyModel(
        BitNetConfig? config = null, long seed = 1, TensorEncoding linear = TensorEncoding.Panels, BitNetRunnerOptions? options = null)
    {
        RandomBitNet.Write(folder, config ?? BitNet, seed, linear);
        Runner = BitNetRunner.Load(folder, options);
    }

    /// <summary>Odd sizes on purpose: no width is a multiple of a register's.</summary>
    public static BitNetConfig BitNet { get; } = new()
    {
        VocabSize = 83,
        HiddenSize = 72,
        IntermediateSize = 100,
        NumHiddenLayers = 3,
        NumAttentionHeads = 6,
        NumKeyValueHeads = 2,
        HeadDim = 22,
        MaxPositionEmbeddings = 96,
        RopeTheta = 10000,
        InitializerRange = 0.3f,
        TieWordEmbeddings = true,
        BosTokenId = 1,
        EosTokenIds = [2],
    };

    public static BitNetConfig Llama { get; } = BitNet with
    {
        ModelType = BitNetConfig.LlamaType,
        HasSubNorms = false,
        HiddenAct = BitNetActivation.Silu,
        TieWordEmbeddings = false,
        NumKeyValueHeads = 6,
        HeadDim = 12,
    };

    public static BitNetConfig WithInputNorms { get; } = Llama with { Quantization = new BitNetQuantization { UseRmsNorm = true } };

    public static TheoryData<string> Shapes => ["bitnet", "llama", "input norms"];

    public string Folder => folder;

    public BitNetRunner Runner { get; }

    public static BitNetConfig Shape(string name) => name switch
    {
        "bitnet" => BitNet,
        "llama" => Llama,
        _ => WithInputNorms,
    };

    public static int[] Tokens(int count, int vocabulary = 83, int seed = 5)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(vocabulary))];
    }

    /// <summary>The logits of every token of a text that is computed in one step.</summary>
    public static float[][] AllLogits(BitNetRunner runner, int[] tokens)
    {
        using BitNetSequence sequence = runner.CreateSequence(tokens.Length);
        using BitNetBatch batch = runner.CreateBatch(tokens.Length);
        int entry = batch.Add(sequence, tokens, LogitsFor.AllTokens);
        batch.Run();
        return [.. Enumerable.Range(0, tokens.Length).Select(i => batch.Logits(entry, i).ToArray())];
    }

    public void Dispose()
    {
        Runner.Dispose();
        Directory.Delete(folder, recursive: true);
    }
}
