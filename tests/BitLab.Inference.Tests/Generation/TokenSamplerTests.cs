namespace BitLab.Inference.Tests;

public class TokenSamplerTests
{
    // Probabilities .5, .25, .125, .0625, .0625 at temperature 1.
    private static readonly float[] Logits = [.. new[] { 0.125, 0.5, 0.0625, 0.25, 0.0625 }.Select(p => (float)Math.Log(p))];

    public static TheoryData<GenerationOptions, double[]> Distributions => new()
    {
        { new GenerationOptions { Temperature = 1 }, [2, 8, 1, 4, 1] },
        // Squared: 4, 64, 1, 16, 1.
        { new GenerationOptions { Temperature = 0.5f }, [4, 64, 1, 16, 1] },
        { new GenerationOptions { Temperature = 1, TopK = 2 }, [0, 8, 0, 4, 0] },
        // Of the two that are equally likely, the one with the lower number.
        { new GenerationOptions { Temperature = 1, TopK = 4 }, [2, 8, 1, 4, 0] },
        { new GenerationOptions { Temperature = 1, TopP = 0.7f }, [0, 8, 0, 4, 0] },
        { new GenerationOptions { Temperature = 1, TopP = 0.76f }, [2, 8, 0, 4, 0] },
        { new GenerationOptions { Temperature = 1, TopP = 0.4f }, [0, 1, 0, 0, 0] },
        { new GenerationOptions { Temperature = 1, MinP = 0.2f }, [2, 8, 0, 4, 0] },
        // 12 of the 14 parts that three tokens have are enough for 0.8 of them.
        { new GenerationOptions { Temperature = 1, TopK = 3, TopP = 0.8f }, [0, 8, 0, 4, 0] },
        { new GenerationOptions { Temperature = 1, TopK = 4, MinP = 0.3f }, [0, 8, 0, 4, 0] },
    };

    [Theory, MemberData(nameof(Distributions))]
    public void Tokens_come_as_often_as_by_hand(GenerationOptions options, double[] parts)
    {
        const int Draws = 40_000;
        var sampler = new TokenSampler(options with { Seed = 11 }, Logits.Length);
        double[] counts = new double[Logits.Length];
        for (int i = 0; i < Draws; i++)
            counts[sampler.Next((float[])Logits.Clone())]++;
        for (int token = 0; token < parts.Length; token++)
        {
            double p = parts[token] / parts.Sum();
            // Five standard deviations of a binomial distribution.
            Assert.InRange(counts[token] / Draws, p - (5 * Math.Sqrt(p * (1 - p) / Draws)), p + (5 * Math.Sqrt(p * (1 - p) / Draws)));
        }
    }

    [Fact]
    public void Greedy_takes_the_first_of_the_likeliest()
    {
        var sampler = new TokenSampler(new GenerationOptions(), 40);
        float[] logits = new float[40];
        logits[37] = logits[21] = 3;
        Assert.Equal(21, sampler.Next(logits));
        Assert.Equal(0, new TokenSampler(new GenerationOptions(), 3).Next(new float[3]));
    }

    [Fact]
    public void A_seed_gives_the_same_tokens_again()
    {
        Assert.Equal(Draw(5), Draw(5));
        Assert.NotEqual(Draw(5), Draw(6));

        static int[] Draw(long seed)
        {
            var sampler = new TokenSampler(new GenerationOptions { Temperature = 2, Seed = seed }, Logits.Length);
            return [.. Enumerable.Range(0, 50).Select(_ => sampler.Next((float[])Logits.Clone()))];
        }
    }

    [Fact]
    public void Random_numbers_are_those_of_the_published_generator()
    {
        // The first outputs of SplitMix64 from the seed 1234567, as published with its reference implementation.
        var random = new RandomStream(1234567);
        Assert.Equal([6457827717110365317UL, 3203168211198807973UL, 9817491932198370423UL], [random.NextBits(), random.NextBits(), random.NextBits()]);
        Assert.Equal((6457827717110365317UL >> 11) / Math.Pow(2, 53), new RandomStream(1234567).NextDouble());
    }

    [Fact]
    public void The_penalty_is_for_tokens_that_were_seen()
    {
        var all = new TokenSampler(new GenerationOptions { RepetitionPenalty = 2 }, 4);
        all.Observe([0, 1, 1]);
        float[] logits = [4, -1, 3, -3];
        Assert.Equal(2, all.Next(logits));
        Assert.Equal([2, -2, 3, -3], logits);

        var window = new TokenSampler(new GenerationOptions { RepetitionPenalty = 2, RepetitionWindow = 2 }, 4);
        window.Observe([0, 1, 0, 2, 3, 2, 1]);
        float[] lastTwo = [4, 4, 4, 4];
        window.Next(lastTwo);
        Assert.Equal([4, 2, 2, 4], lastTwo);
    }

    [Fact]
    public void Large_vocabularies_are_cut_as_small_ones()
    {
        // 20,000 tokens, of which the nucleus is the first thousand of a geometric row in scrambled places.
        const int Count = 20_000;
        int[] places = [.. Enumerable.Range(0, Count).OrderBy(i => (long)i * 7919 % Count)];
        float[] logits = new float[Count];
        for (int i = 0; i < Count; i++)
            logits[places[i]] = -i * 0.01f;
        double[] weights = [.. Enumerable.Range(0, Count).Select(i => Math.Exp(-i * 0.01))];
        double sum = 0;
        int nucleus = weights.TakeWhile(weight => (sum += weight) < 0.9 * weights.Sum()).Count() + 1;
        var sampler = new TokenSampler(new GenerationOptions { Temperature = 1, TopP = 0.9f, Seed = 1 }, Count);
        int[] ranks = [.. Enumerable.Range(0, 200).Select(_ => Array.IndexOf(places, sampler.Next(logits)))];
        Assert.InRange(ranks.Max(), nucleus * 0.8, nucleus - 1);
        var minP = new TokenSampler(new GenerationOptions { Temperature = 1, MinP = 0.001f, Seed = 1 }, Count);
        Assert.InRange(Enumerable.Range(0, 200).Max(_ => Array.IndexOf(places, minP.Next(logits))), 300, 690);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Logits_that_are_no_numbers_are_an_error(float bad)
    {
        float[] logits = new float[50];
        logits[33] = bad;
        Assert.Throws<InvalidOperationException>(() => new TokenSampler(new GenerationOptions(), 50).Next(logits));
        logits = new float[50];
        logits[49] = bad;
        Assert.Throws<InvalidOperationException>(() => new TokenSampler(new GenerationOptions { Temperature = 1 }, 50).Next(logits));
    }

    [Fact]
    public void Sampling_allocates_nothing()
    {
        float[] logits = new float[5000];
        foreach (GenerationOptions options in (GenerationOptions[])[new(), new() { Temperature = 1, TopP = 0.5f, RepetitionPenalty = 1.2f, RepetitionWindow = 9 }])
        {
            var sampler = new TokenSampler(options, logits.Length);
            sampler.Observe([sampler.Next(logits)]);
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 20; i++)
                sampler.Observe([sampler.Next(logits)]);
            Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        }
    }

    [Fact]
    public void Options_that_cannot_be_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new GenerationOptions { Temperature = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GenerationOptions { Temperature = float.NaN });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GenerationOptions { TopP = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GenerationOptions { MinP = 1.5f });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GenerationOptions { TopK = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GenerationOptions { RepetitionPenalty = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GenerationOptions { MaxTokens = 0 });
    }
}
