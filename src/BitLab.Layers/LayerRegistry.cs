using System.Collections.Concurrent;
using BitLab.Core;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>Makes a layer.</summary>
/// <param name="inputSize">In features.</param>
/// <param name="outputSize">Out features.</param>
/// <param name="hasBias">Whether with a bias.</param>
/// <param name="config">How to quantize.</param>
/// <returns>The layer.</returns>
public delegate nn.Module<Tensor, Tensor> LayerFactory(long inputSize, long outputSize, bool hasBias, BitQuantConfig config);

/// <summary>Layers by name, for models that take the name of their layers from a config. Any thread may call it.</summary>
public static class LayerRegistry
{
    private static readonly ConcurrentDictionary<string, LayerFactory> Factories = new(StringComparer.OrdinalIgnoreCase)
    {
        [nameof(BitLinear)] = (inputSize, outputSize, hasBias, config) =>
            new BitLinear(inputSize, outputSize, hasBias, config: config),
        ["Linear"] = (inputSize, outputSize, hasBias, _) => nn.Linear(inputSize, outputSize, hasBias),
    };

    /// <summary>The names there are, in alphabetical order.</summary>
    public static IReadOnlyList<string> Names => [.. Factories.Keys.Order(StringComparer.OrdinalIgnoreCase)];

    /// <summary>Adds a kind of layer.</summary>
    /// <param name="name">Its name; case does not matter.</param>
    /// <param name="factory">What makes it.</param>
    /// <exception cref="ArgumentException">The name is taken.</exception>
    public static void Register(string name, LayerFactory factory)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(factory);
        if (!Factories.TryAdd(name, factory))
            throw new ArgumentException($"There is a layer '{name}' already.", nameof(name));
    }

    /// <summary>Makes a layer.</summary>
    /// <param name="name">A registered name.</param>
    /// <param name="inputSize">In features.</param>
    /// <param name="outputSize">Out features.</param>
    /// <param name="hasBias">Whether with a bias.</param>
    /// <param name="config">How to quantize; null: <see cref="BitQuantConfig.Default"/>.</param>
    /// <returns>The layer, which the caller disposes.</returns>
    /// <exception cref="BitLabException">The name is unknown.</exception>
    public static nn.Module<Tensor, Tensor> Create(
        string name, long inputSize, long outputSize, bool hasBias = true, BitQuantConfig? config = null)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Factories.TryGetValue(name, out LayerFactory? factory)
            ? factory(inputSize, outputSize, hasBias, config ?? BitQuantConfig.Default)
            : throw new BitLabException($"There is no layer '{name}'; there are: {string.Join(", ", Names)}.");
    }
}
