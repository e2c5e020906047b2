using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Analysis;

/// <summary>Float weights that absmean makes into given trits and scales.</summary>
/// <remarks>
/// <para>Absmean takes the scale s as the mean of magnitudes and rounds w / s. So magnitudes must be below s / 2 where a trit is
/// 0, above where it is not, and s in the mean. Zeros stay where the wanted weight is, as far as the threshold allows; the others
/// exceed the threshold by what the wanted weight does, times the one factor that makes the mean right. It exists: with factor 0
/// the mean is about s / 2. So training can go on from here, and what was near the threshold still is.</para>
/// <para>Where all trits are 0, the weights are 0, and absmean's scale its smallest.</para>
/// </remarks>
internal static class LatentWeights
{
    // The part of s by which all stay away from the threshold: more than rounding to bfloat16 moves them.
    private const double Margin = 0.025;

    /// <param name="wanted">(N, K): the float weights that the trits stand for.</param>
    /// <param name="trits">(N, K).</param>
    /// <param name="scales">(N, 1), repeated where there is one for the tensor.</param>
    /// <param name="granularity">What shares a scale.</param>
    /// <returns>(N, K), all float64.</returns>
    public static Tensor Of(Tensor wanted, Tensor trits, Tensor scales, Granularity granularity)
    {
        using DisposeScope scope = NewDisposeScope();
        bool isPerTensor = granularity == Granularity.PerTensor;
        Tensor isZero = trits.eq(0), threshold = scales * (0.5 + Margin), below = scales * (0.5 - Margin);
        Tensor zeros = wanted.minimum(below).maximum(-below) * isZero;
        // None is at the threshold itself, so that there is something to multiply.
        Tensor excess = ((wanted * trits - threshold).clamp(min: 0) + (scales * Margin)) * isZero.logical_not();
        Tensor missing = Sum((scales - zeros.abs()) - (threshold * isZero.logical_not()));
        Tensor factor = missing / Sum(excess);
        Tensor latent = zeros + (trits * (threshold + (excess * factor)));
        return where(isZero, zeros, latent).nan_to_num(0, 0, 0).MoveToOuterDisposeScope();

        Tensor Sum(Tensor values) => isPerTensor ? values.sum() : values.sum(dim: 1, keepdim: true);
    }
}
