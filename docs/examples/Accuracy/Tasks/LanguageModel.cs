using Accuracy.Data;
using Accuracy.Networks;
using Accuracy.Results;
using TorchSharp;
using static TorchSharp.torch;

namespace Accuracy.Tasks;

/// <summary>The next character of novels.</summary>
internal sealed class LanguageModel : AccuracyTask
{
    private const int Context = 128, EvaluationBatch = 32, SearchShare = 2;
    private Novels? loaded;

    public required Func<Novels> Load { get; init; }

    public required int Width { get; init; }

    public required int Layers { get; init; }

    /// <summary>How many texts of <see cref="Context"/> characters a step sees.</summary>
    public required int BatchSize { get; init; }

    public override bool IsBits => true;

    public override bool IsResplit => false;

    public override bool TrainsOnValidation => false;

    public Novels Novels => loaded ??= Load();

    public override nn.Module<Tensor, Tensor> Create(Recipe recipe) =>
        new CharTransformer(recipe, Novels.Characters.Length, Width, heads: Width / 32, Layers);

    public override IEnumerable<(Tensor Input, Tensor Target)> Batches(int seed, Purpose purpose)
    {
        byte[] text = [.. Novels.Train.SelectMany(novel => novel)];
        var random = new Random(seed);
        while (true)
        {
            int[] starts = [.. Enumerable.Range(0, BatchSize).Select(_ => random.Next(text.Length - Context))];
            yield return (Windows(text, starts, 0), Windows(text, starts, 1).flatten());
        }
    }

    /// <summary>Bits a character. Each is predicted from at least half a context of those before it, the first ones of a novel
    /// from what there is.</summary>
    public override double Measure(nn.Module<Tensor, Tensor> network, int seed, Purpose purpose)
    {
        (double bits, long count) = (0, 0);
        IEnumerable<byte[]> novels = purpose == Purpose.Final
            ? Novels.Test
            : Novels.Validation.Select(novel => novel[..(novel.Length / SearchShare)]);
        foreach (byte[] novel in novels)
        {
            int[] starts = [.. Enumerable.Range(0, ((novel.Length - 1) / (Context / 2)) - 1).Select(i => i * Context / 2)];
            foreach (int[] some in starts.Chunk(EvaluationBatch))
            {
                using DisposeScope scope = NewDisposeScope();
                Tensor losses = nn.functional.cross_entropy(
                    network.call(Windows(novel, some, 0)), Windows(novel, some, 1).flatten(), reduction: nn.Reduction.None)
                    .view(some.Length, Context);
                Tensor counted = some[0] == 0 ? losses[..1, ..(Context / 2)] : losses[..0];
                Tensor later = losses[.., (Context / 2)..];
                bits += (counted.sum().item<float>() + later.sum().item<float>()) / Math.Log(2);
                count += counted.numel() + later.numel();
            }
        }
        return bits / count;
    }

    private static Tensor Windows(byte[] text, int[] starts, int shift) => tensor(
        starts.SelectMany(start => text.Skip(start + shift).Take(Context)).Select(c => (long)c).ToArray(), starts.Length, Context);
}
