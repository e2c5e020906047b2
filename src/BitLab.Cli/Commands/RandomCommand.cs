using System.CommandLine;
using BitLab.Core;
using BitLab.Inference;
using Spectre.Console;

namespace BitLab.Cli.Commands;

/// <summary>bitlab random TARGET</summary>
internal static class RandomCommand
{
    public static Command Create(Terminal terminal)
    {
        Argument<string> target = new("target") { Description = "The folder to write." };
        Option<string> shape = new("--shape") { Description = "2b4t: BitNet b1.58 2B4T; tiny: for trying things out.", DefaultValueFactory = _ => "2b4t" };
        shape.AcceptOnlyFromAmong("2b4t", "tiny");
        Option<string?> config = new("--config") { Description = "A config.json whose shape to take instead." };
        Option<int?> layers = new("--layers") { Description = "So many layers instead of the shape's." };
        Option<long> seed = new("--seed") { Description = "Where the random numbers begin.", DefaultValueFactory = _ => 0 };
        var command = new Command("random", "Writes a model of random weights, for measurements, without ever holding it in memory.")
        {
            target, shape, config, layers, seed,
        };
        command.SetAction((parsed, cancellation) => Task.Run(
            () =>
            {
                BitNetConfig model = parsed.GetValue(config) is string path ? BitNetConfig.FromFile(path) : Shape(parsed.GetValue(shape)!);
                if (parsed.GetValue(layers) is int count)
                    model = model with { NumHiddenLayers = count };
                string folder = parsed.GetValue(target)!;
                RandomBitNet.Write(folder, model, parsed.GetValue(seed));
                terminal.Console.WriteLine($"{folder}: {SizeText.Bytes(ConvertCommand.BytesOf(folder))}");
            },
            cancellation));
        return command;
    }

    private static BitNetConfig Shape(string name) => name == "tiny"
        ? new BitNetConfig
        {
            VocabSize = 512, HiddenSize = 256, IntermediateSize = 512, NumHiddenLayers = 2, NumAttentionHeads = 4, NumKeyValueHeads = 2,
            HeadDim = 64, MaxPositionEmbeddings = 512, TieWordEmbeddings = true, BosTokenId = 0, EosTokenIds = [1],
        }
        : new BitNetConfig { MaxPositionEmbeddings = 4096, TieWordEmbeddings = true };
}
