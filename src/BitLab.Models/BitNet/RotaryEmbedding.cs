using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>Positions as rotations of queries and keys: feature i of a head turns together with feature i + dim / 2, by
/// position · theta^(-2i / dim).</summary>
/// <remarks>Su et al. 2021, arXiv:2104.09864, with the halves of Hugging Face's library instead of neighbours. Angles are float32
/// products, as there.</remarks>
internal static class RotaryEmbedding
{
    /// <summary>Cosines and sines of some positions.</summary>
    /// <param name="positions">(batch or 1, tokens), integers.</param>
    /// <param name="config">For the width of a head and the base.</param>
    /// <returns>Each (batch or 1, tokens, 1, dim / 2), float32.</returns>
    public static (Tensor Cosines, Tensor Sines) Tables(Tensor positions, BitNetConfig config)
    {
        using DisposeScope scope = NewDisposeScope();
        float[] frequencies =
            [.. Enumerable.Range(0, config.HeadDim / 2).Select(i => (float)Math.Pow(config.RopeTheta, -2.0 * i / config.HeadDim))];
        Tensor angles = positions.to(ScalarType.Float32).unsqueeze(-1).unsqueeze(-1) * tensor(frequencies, device: positions.device);
        return (angles.cos().MoveToOuterDisposeScope(), angles.sin().MoveToOuterDisposeScope());
    }

    /// <summary>Rotates.</summary>
    /// <param name="heads">(batch, tokens, heads, dim).</param>
    /// <param name="cosines">Of <see cref="Tables"/>.</param>
    /// <param name="sines">Of <see cref="Tables"/>.</param>
    /// <returns>The same shape and type.</returns>
    public static Tensor Rotate(Tensor heads, Tensor cosines, Tensor sines)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor[] halves = heads.to(ScalarType.Float32).chunk(2, dim: -1);
        return cat([(halves[0] * cosines) - (halves[1] * sines), (halves[1] * cosines) + (halves[0] * sines)], dim: -1)
            .to(heads.dtype).MoveToOuterDisposeScope();
    }
}
