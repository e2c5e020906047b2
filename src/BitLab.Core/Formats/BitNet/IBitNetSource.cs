namespace BitLab.Core;

/// <summary>Where the tensors of a BitNet model come from, one at a time: a checkpoint, a model in memory, a generator of random
/// ones.</summary>
public interface IBitNetSource
{
    /// <summary>The model's config.</summary>
    BitNetConfig Config { get; }

    /// <summary>How the floats of a tensor are best held: <see cref="TensorEncoding.F32"/>, <see cref="TensorEncoding.F16"/>,
    /// <see cref="TensorEncoding.BF16"/> or <see cref="TensorEncoding.Q8_0"/> for floats, anything else for trits.</summary>
    /// <param name="name">One of <see cref="BitNetConfig.Tensors"/>.</param>
    /// <returns>The encoding.</returns>
    TensorEncoding EncodingOf(string name);

    /// <summary>Reads some values of a tensor as float32.</summary>
    /// <param name="name">One of <see cref="BitNetConfig.Tensors"/>.</param>
    /// <param name="first">The first value, counted row by row: a row's first.</param>
    /// <param name="values">Filled with whole rows; of a vector, with all.</param>
    void ReadFloats(string name, long first, Span<float> values);

    /// <summary>Whether a linear layer's weight has one scale or one a row, as <see cref="ReadTernary"/> will give it.</summary>
    /// <param name="name">The weight, of <see cref="BitNetConfig.Tensors"/>.</param>
    /// <returns><see cref="Granularity.PerTensor"/> or <see cref="Granularity.PerChannel"/>.</returns>
    Granularity GranularityOf(string name);

    /// <summary>Makes the weight of a linear layer as packed trits.</summary>
    /// <param name="name">The weight, of <see cref="BitNetConfig.Tensors"/>.</param>
    /// <returns>The weights, which the caller disposes: the same whenever they are asked for.</returns>
    PackedTernaryWeights ReadTernary(string name);
}
