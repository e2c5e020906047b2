using CsCheck;

namespace BitLab.Core.Tests;

public class AbsmedianTests
{
    [Fact]
    public void The_scale_is_the_magnitude_in_the_middle_the_lower_of_two()
    {
        Assert.Equal(2f, Absmedian.Scale([3, -2, 0]));
        Assert.Equal(2f, Absmedian.Scale([3, -2, 0, 5]));
        Assert.Equal(2f, Absmedian.Scale([-2]));
        Assert.Equal(1e-5f, Absmedian.Scale([0, 0, 0, 7]));
    }

    [Fact]
    public void Any_finite_weights_have_the_scale_that_sorting_finds() =>
        Gen.Float.Where(float.IsFinite).Array[1, 300].Sample(w =>
            Assert.Equal(MathF.Max(w.Select(MathF.Abs).Order().ElementAt((w.Length - 1) / 2), 1e-5f), Absmedian.Scale(w)));

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void A_weight_that_is_no_number_is_named(float bad)
    {
        float[] w = [1, 2, 3, 4, bad, 6, 7];
        Assert.Contains("element 4", Assert.Throws<QuantizationException>(() => Absmedian.Scale(w, "here")).Message);
    }

    [Fact]
    public void Packed_weights_can_have_it()
    {
        float[] w = [1, -2, 9, 0, 1, 2];
        using var packed = PackedTernaryWeights.Pack(w, 2, 3, Granularity.PerChannel, scaleOf: WeightScale.Absmedian);
        float[] values = new float[6];
        packed.Unpack(values);
        Assert.Equal([0, -2, 2, 0, 1, 1], values);
    }
}
