using CsCheck;

namespace BitLab.Core.Tests;

public unsafe class FakeQuantizationTests
{
    private static readonly Gen<float[]> Values = Gen.Select(
        Gen.Float[-1, 1].Array[1, 400], Gen.Int[-42, 38], (values, power) => Array.ConvertAll(values, value => (float)(value * Math.Pow(10, power))));

    private static readonly Gen<float> Lambda = Gen.OneOf(Gen.Const(1f), Gen.Float[0, 1]);

    [Fact]
    public void Weights_follow_the_formula_and_have_no_negative_zero() =>
        Gen.Select(Values, Lambda).Sample((w, lambda) =>
        {
            float scale = Absmean.Scale(w);
            float[] values = new float[w.Length];
            Absmean.FakeQuantize(w, scale, values, lambda);
            sbyte[] trits = new sbyte[w.Length];
            Absmean.Quantize(w, scale, trits);
            AssertBits(w.Zip(trits, (each, trit) => Between(each, trit * scale, lambda)), values);
        });

    [Fact]
    public void Activations_follow_the_formula_and_have_no_negative_zero() =>
        Gen.Select(Values, Lambda).Sample((x, lambda) =>
        {
            float range = Absmax.Range(x);
            float[] values = new float[x.Length];
            Absmax.FakeQuantize(x, range, values, lambda);
            sbyte[] q = new sbyte[x.Length];
            Absmax.Quantize(x, range, q);
            AssertBits(x.Zip(q, (each, integer) => Between(each, integer * (range / 127f), lambda)), values);
        });

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void What_shares_a_scale_with_something_not_finite_is_NaN(float bad)
    {
        float[] w = [1, 2, bad, 4, 5, 6], values = new float[6];
        foreach (WeightScale kind in Enum.GetValues<WeightScale>())
        {
            fixed (float* wp = w, vp = values)
            {
                FakeQuantization.Weights(wp, 2, 3, new() { WeightScale = kind, WeightGranularity = Granularity.PerChannel }, 1, vp, null);
                Assert.Equal([true, true, true, false, false, false], values.Select(float.IsNaN));
                FakeQuantization.Weights(wp, 2, 3, new() { WeightScale = kind }, 1, vp, null);
                Assert.All(values, value => Assert.True(float.IsNaN(value)));
            }
        }
        fixed (float* wp = w, vp = values)
        {
            FakeQuantization.Activations(wp, 2, 3, Granularity.PerToken, 1, vp);
            Assert.Equal([true, true, true, false, false, false], values.Select(float.IsNaN));
            FakeQuantization.Activations(wp, 2, 3, Granularity.PerTensor, 1, vp);
            Assert.All(values, value => Assert.True(float.IsNaN(value)));
        }
    }

    [Fact]
    public void Lengths_must_agree()
    {
        Assert.Throws<ArgumentException>(() => Absmean.FakeQuantize(new float[3], 1, new float[2]));
        Assert.Throws<ArgumentException>(() => Absmax.FakeQuantize(new float[3], 1, new float[4]));
    }

    /// <summary>Compares floats by their bits, any NaN like any other.</summary>
    internal static void AssertBits(IEnumerable<float> expected, IEnumerable<float> actual) =>
        Assert.Equal(expected.Select(Bits), actual.Select(Bits));

    private static int Bits(float value) => BitConverter.SingleToInt32Bits(float.IsNaN(value) ? float.NaN : value);

    private static float Between(float from, float to, float lambda) => lambda == 1 ? to : ((to - from) * lambda) + from;
}
