using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace Accuracy.Networks;

/// <summary>The two small networks that classify.</summary>
internal static class Classifiers
{
    /// <summary>A multilayer perceptron with ReLU; normalized, an RMSNorm before each layer but the first.</summary>
    /// <param name="recipe">Its layers.</param>
    /// <param name="sizes">Inputs, hidden sizes, classes.</param>
    public static nn.Module<Tensor, Tensor> Mlp(Recipe recipe, params long[] sizes)
    {
        var layers = new List<nn.Module<Tensor, Tensor>> { nn.Flatten() };
        for (int i = 0; i < sizes.Length - 1; i++)
        {
            bool isLast = i == sizes.Length - 2;
            if (i > 0 && recipe.IsNormalized)
                layers.Add(new RMSNorm(sizes[i]));
            layers.Add(isLast ? Recipe.FloatLinear(sizes[i], sizes[i + 1]) : recipe.Linear(sizes[i], sizes[i + 1]));
            if (!isLast)
                layers.Add(nn.ReLU());
        }
        return nn.Sequential(layers);
    }

    /// <summary>Convolutions of 3 × 3 and stride 2 with ReLU, then one layer; normalized, a BatchNorm behind each
    /// convolution. The first convolution is never ternary: of one channel it has 9 weights an output, too few to average over, and
    /// hardly any bytes to save.</summary>
    /// <param name="recipe">Its layers.</param>
    /// <param name="size">Height and width of the images, which have one channel.</param>
    /// <param name="classes">How many.</param>
    /// <param name="channels">Those of the convolutions.</param>
    public static nn.Module<Tensor, Tensor> Conv(Recipe recipe, long size, long classes, params long[] channels)
    {
        var layers = new List<nn.Module<Tensor, Tensor>>();
        long before = 1;
        foreach (long count in channels)
        {
            Recipe own = layers.Count == 0 ? recipe with { IsTernary = false } : recipe;
            layers.Add(own.Conv(before, count, stride: 2));
            if (recipe.IsNormalized)
                layers.Add(nn.BatchNorm2d(count));
            layers.Add(nn.ReLU());
            (before, size) = (count, (size + 1) / 2);
        }
        layers.Add(nn.Flatten());
        layers.Add(Recipe.FloatLinear(before * size * size, classes));
        return nn.Sequential(layers);
    }
}
