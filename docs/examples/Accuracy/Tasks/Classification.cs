using Accuracy.Data;
using Accuracy.Networks;
using Accuracy.Results;
using TorchSharp;
using static TorchSharp.torch;

namespace Accuracy.Tasks;

/// <summary>Classes of vectors or images.</summary>
internal sealed class Classification : AccuracyTask
{
    private const int EvaluationBatch = 1000;
    private LabelledData? train;
    private LabelledData? test;

    /// <summary>What is split; all of the data where there is no <see cref="LoadTest"/>.</summary>
    public required Func<LabelledData> Load { get; init; }

    /// <summary>The test part, where the data set has one.</summary>
    public Func<LabelledData>? LoadTest { get; init; }

    public required Func<Recipe, nn.Module<Tensor, Tensor>> Network { get; init; }

    public required int BatchSize { get; init; }

    /// <summary>How many are for testing, where the split is drawn.</summary>
    public int TestCount { get; init; }

    /// <summary>How many of the others are for validation while rates are chosen.</summary>
    public required int ValidationCount { get; init; }

    public override bool IsBits => false;

    public override bool IsResplit => LoadTest is null;

    public override bool TrainsOnValidation => true;

    public override nn.Module<Tensor, Tensor> Create(Recipe recipe) => Network(recipe);

    /// <summary>Which samples are for training and which are measured.</summary>
    public (long[] Train, long[] Measured) Split(long count, int seed, Purpose purpose)
    {
        long[] order = [.. Enumerable.Range(0, (int)count).Select(i => (long)i)];
        new Random(seed).Shuffle(order);
        long[] test = order[..TestCount], others = order[TestCount..];
        return purpose == Purpose.Final ? (others, test) : (others[ValidationCount..], others[..ValidationCount]);
    }

    public override IEnumerable<(Tensor Input, Tensor Target)> Batches(int seed, Purpose purpose)
    {
        LabelledData data = train ??= Kept(Load());
        long[] indices = Split(data.Count, seed, purpose).Train;
        var random = new Random(seed);
        while (true)
        {
            random.Shuffle(indices);
            // What is left over at the end of an epoch comes in another order in the next.
            for (int i = 0; i + BatchSize <= indices.Length; i += BatchSize)
            {
                LabelledData batch = data.At(indices.AsSpan(i, BatchSize));
                yield return (batch.Inputs, batch.Labels);
            }
        }
    }

    public override double Measure(nn.Module<Tensor, Tensor> network, int seed, Purpose purpose)
    {
        LabelledData data = train ??= Kept(Load());
        long[] indices = Split(data.Count, seed, purpose).Measured;
        if (purpose == Purpose.Final && LoadTest is not null)
        {
            data = test ??= Kept(LoadTest());
            indices = [.. Enumerable.Range(0, (int)data.Count).Select(i => (long)i)];
        }
        long right = 0;
        for (int i = 0; i < indices.Length; i += EvaluationBatch)
        {
            using DisposeScope scope = NewDisposeScope();
            LabelledData batch = data.At(indices.AsSpan(i, Math.Min(EvaluationBatch, indices.Length - i)));
            right += network.call(batch.Inputs).argmax(1).eq(batch.Labels).sum().item<long>();
        }
        return right / (double)indices.Length;
    }

    // Data outlives the training in whose scope it was loaded.
    private static LabelledData Kept(LabelledData data) =>
        new(data.Inputs.DetachFromDisposeScope(), data.Labels.DetachFromDisposeScope());
}
