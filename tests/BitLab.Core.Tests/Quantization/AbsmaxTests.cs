namespace BitLab.Core.Tests;

public class AbsmaxTests
{
    [Fact]
    public void The_worked_examples_give_their_integers()
    {
        Assert.Equal([127, 0, 2, 2, 0, -2], Quantized([127, .5f, 1.5f, 2.5f, -.5f, -1.5f]));
        Assert.Equal([127, -76, 89], Quantized([1, -.6f, .7f]));
        Assert.Equal([-95, 42, -127], Quantized([-.9f, .4f, -1.2f]));
        Assert.Equal([127, -79, 48], Quantized([.8f, -.5f, .3f]));
    }

    [Fact]
    public void Zeros_stay_zero()
    {
        Assert.Equal(1e-5f, Absmax.Range(new float[70]));
        Assert.All(Quantized(new float[70]), q => Assert.Equal(0, q));
        Assert.Equal(1e-5f, Absmax.Range([]));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void A_range_over_something_infinite_is_NaN_and_quantizes_to_zeros(float bad)
    {
        for (int at = 0; at < 100; at += 33)
        {
            float[] x = [.. Enumerable.Range(0, 100).Select(i => (float)i)];
            x[at] = bad;
            Assert.True(float.IsNaN(Absmax.Range(x)));
            Assert.All(Quantized(x), q => Assert.Equal(0, q));
        }
    }

    [Fact]
    public void A_range_too_small_is_clamped()
    {
        float[] x = [.. Enumerable.Repeat(5f, 65), .. Enumerable.Repeat(-5f, 65)];
        sbyte[] q = new sbyte[x.Length];
        Assert.Equal(65 * (127 - 128), Absmax.Quantize(x, 1f, q));
        Assert.Equal([.. Enumerable.Repeat((sbyte)127, 65), .. Enumerable.Repeat((sbyte)-128, 65)], q);
    }

    [Fact]
    public void Vectors_and_the_tail_behind_them_follow_the_formula()
    {
        var random = new Random(2);
        for (int length = 1; length < 300; length++)
        {
            float magnitude = MathF.Pow(10, random.Next(-30, 30));
            float[] x = [.. Enumerable.Range(0, length).Select(_ => (float)(random.NextDouble() - .5) * magnitude)];
            float range = MathF.Max(x.Max(MathF.Abs), 1e-5f);
            Assert.Equal(range, Absmax.Range(x));
            sbyte[] expected = [.. x.Select(v => (sbyte)Math.Clamp(MathF.Round(v * (127 / range)), -128, 127))];
            sbyte[] q = new sbyte[length];
            Assert.Equal(expected.Sum(v => v), Absmax.Quantize(x, range, q));
            Assert.Equal(expected, q);
        }
    }

    private static sbyte[] Quantized(float[] x)
    {
        sbyte[] q = new sbyte[x.Length];
        Absmax.Quantize(x, Absmax.Range(x), q);
        return q;
    }
}
