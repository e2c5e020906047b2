namespace BitLab.Core.Tests;

public class AbsmeanTests
{
    [Fact]
    public void Ties_round_to_even()
    {
        float[] w = [1, 1, 1, 1, .5f, .5f, 0, 3];
        Assert.Equal(1f, Absmean.Scale(w));
        Assert.Equal([1, 1, 1, 1, 0, 0, 0, 1], Trits(w));
    }

    [Fact]
    public void The_worked_example_gives_its_trits()
    {
        float[] w = [.8f, -.5f, 1.2f, -1.5f, .4f, -.9f, 1.3f, -.7f, .2f];
        Assert.Equal(.83333f, Absmean.Scale(w), 5);
        Assert.Equal([1, -1, 1, -1, 0, -1, 1, -1, 0], Trits(w));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(64)]
    [InlineData(1000)]
    public void Zeros_stay_zero_and_have_the_smallest_scale(int length)
    {
        Assert.Equal(1e-5f, Absmean.Scale(new float[length]));
        Assert.All(Trits(new float[length]), trit => Assert.Equal(0, trit));
    }

    [Theory]
    [InlineData(float.MaxValue)]
    [InlineData(1e-3f)]
    public void Huge_and_tiny_weights_have_a_finite_scale(float magnitude)
    {
        float[] w = new float[100];
        Array.Fill(w, -magnitude);
        Assert.Equal(magnitude, Absmean.Scale(w));
        Assert.All(Trits(w), trit => Assert.Equal(-1, trit));
    }

    [Theory]
    [InlineData(float.NaN, 3)]
    [InlineData(float.PositiveInfinity, 77)]
    [InlineData(float.NegativeInfinity, 99)]
    public void A_weight_that_is_no_number_is_named(float bad, int at)
    {
        float[] w = new float[100];
        w[at] = bad;
        string message = Assert.Throws<QuantizationException>(() => Absmean.Scale(w, "layers.3")).Message;
        Assert.Contains("layers.3", message);
        Assert.Contains($"element {at}", message);
    }

    [Fact]
    public void Vectors_and_the_tail_behind_them_follow_the_formula()
    {
        var random = new Random(1);
        for (int length = 1; length < 200; length++)
        {
            float[] w = [.. Enumerable.Range(0, length).Select(_ => (float)(random.NextDouble() - .5))];
            float scale = MathF.Max((float)(w.Sum(x => (double)MathF.Abs(x)) / length), 1e-5f);
            Assert.Equal(scale, Absmean.Scale(w));
            Assert.Equal(w.Select(x => (sbyte)Math.Clamp(MathF.Round(x * (1 / scale)), -1, 1)), Trits(w));
        }
    }

    private static sbyte[] Trits(float[] w)
    {
        sbyte[] trits = new sbyte[w.Length];
        Absmean.Quantize(w, Absmean.Scale(w), trits);
        return trits;
    }
}
