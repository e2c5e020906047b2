using BitLab.Core;
using BitLab.Inference;
using BitLab.Inference.Tests;

namespace BitLab.Cli.Tests;

/// <summary>A small model of random weights with a tokenizer, for a test.</summary>
public sealed class ModelFolder : IDisposable
{
    public static readonly BitNetConfig Config = new()
    {
        VocabSize = TinyVocabulary.Size, HiddenSize = 256, IntermediateSize = 256, NumHiddenLayers = 2, NumAttentionHeads = 4,
        NumKeyValueHeads = 2, HeadDim = 64, MaxPositionEmbeddings = 256, InitializerRange = 0.3f, TieWordEmbeddings = true,
        BosTokenId = TinyVocabulary.Begin, EosTokenIds = [TinyVocabulary.End],
    };

    public ModelFolder()
    {
        Root = Directory.CreateTempSubdirectory("bitlab-cli-").FullName;
        Model = Path.Combine(Root, "tiny");
        RandomBitNet.Write(Model, Config, seed: 3);
        TinyVocabulary.WriteTo(Model);
    }

    public string Root { get; }

    public string Model { get; }

    public string In(string name) => Path.Combine(Root, name);

    public void Dispose() => Directory.Delete(Root, recursive: true);
}
