using BitLab.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace Accuracy.Networks;

/// <summary>A transformer that predicts the next character. A position begins as the sum of the embeddings of its last
/// characters, a table for each distance; embeddings and the last layer are float.</summary>
internal sealed class CharTransformer : nn.Module<Tensor, Tensor>
{
    private const int Distances = 4;
    private const double RotaryBase = 10_000;
    private readonly Embedding embedding;
    private readonly ModuleList<TransformerBlock> blocks;
    private readonly RMSNorm norm;
    private readonly nn.Module<Tensor, Tensor> head;
    private readonly long vocabulary;
    private readonly double[] frequencies;

    public CharTransformer(Recipe recipe, long vocabulary, long width, long heads, int layers) : base(nameof(CharTransformer))
    {
        this.vocabulary = vocabulary;
        int pairs = (int)(width / heads / 2);
        frequencies = [.. Enumerable.Range(0, pairs).Select(i => Math.Pow(RotaryBase, -(double)i / pairs))];
        // The last row of a table stands for what is before the first character.
        embedding = nn.Embedding(Distances * (vocabulary + 1), width);
        nn.init.normal_(embedding.weight, 0, 0.5);
        blocks = nn.ModuleList([.. Enumerable.Range(0, layers).Select(_ => new TransformerBlock(recipe, width, heads))]);
        norm = new RMSNorm(width);
        head = Recipe.FloatLinear(width, vocabulary);
        RegisterComponents();
    }

    /// <param name="input">(batch, length), int64: numbers of characters.</param>
    /// <returns>(batch · length, vocabulary): the logits of the characters that follow.</returns>
    public override Tensor forward(Tensor input)
    {
        using DisposeScope scope = NewDisposeScope();
        long length = input.size(1);
        Tensor padded = nn.functional.pad(input, [Distances - 1, 0], PaddingModes.Constant, vocabulary);
        Tensor x = embedding.call(padded.narrow(1, Distances - 1, length));
        for (int distance = 1; distance < Distances; distance++)
            x = x + embedding.call(padded.narrow(1, Distances - 1 - distance, length) + (distance * (vocabulary + 1)));
        Tensor angles = outer(arange(length, ScalarType.Float32), tensor(frequencies, ScalarType.Float32));
        (Tensor cos, Tensor sin) = (angles.cos(), angles.sin());
        foreach (TransformerBlock block in blocks)
            x = block.call(x, cos, sin);
        return head.call(norm.call(x)).flatten(0, 1).MoveToOuterDisposeScope();
    }
}
