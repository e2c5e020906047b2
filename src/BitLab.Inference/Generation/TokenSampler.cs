using System.Runtime.Intrinsics;

namespace BitLab.Inference;

/// <summary>Chooses tokens from logits, as <see cref="GenerationOptions"/> says. It allocates nothing after its
/// creation. Not for use by two threads at once.</summary>
public sealed unsafe class TokenSampler
{
    // Of a temperature so low that its inverse would be infinite.
    private const float MaxInverse = 1e30f;

    private readonly GenerationOptions options;
    private readonly float[] weights;
    private readonly ulong[] candidates;
    private readonly RepetitionMemory? memory;
    private RandomStream random;

    /// <summary>Creates a sampler for one text.</summary>
    /// <param name="options">How to choose.</param>
    /// <param name="vocabularySize">Logits a token.</param>
    public TokenSampler(GenerationOptions options, int vocabularySize)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabularySize, 1);
        this.options = options;
        bool isGreedy = options.Temperature == 0;
        weights = isGreedy ? [] : new float[(vocabularySize + VectorMath.Lanes - 1) / VectorMath.Lanes * VectorMath.Lanes];
        candidates = isGreedy ? [] : new ulong[vocabularySize];
        memory = options.RepetitionPenalty == 1 ? null : new RepetitionMemory(vocabularySize, options.RepetitionWindow);
        random = new RandomStream((ulong)(options.Seed ?? Random.Shared.NextInt64(long.MinValue, long.MaxValue)));
        VocabularySize = vocabularySize;
    }

    /// <summary>Logits a token.</summary>
    public int VocabularySize { get; }

    /// <summary>Tells of tokens that the text has: those of the prompt, then each that was chosen.</summary>
    /// <param name="tokens">The tokens, each below <see cref="VocabularySize"/>.</param>
    public void Observe(ReadOnlySpan<int> tokens)
    {
        if (memory is null)
            return;
        foreach (int token in tokens)
            memory.Add(token);
    }

    /// <summary>Chooses a token.</summary>
    /// <param name="logits">(vocabulary); the repetition penalty is applied in place.</param>
    /// <returns>The token.</returns>
    /// <exception cref="ArgumentException">The length is another.</exception>
    /// <exception cref="InvalidOperationException">A logit that decides is NaN or infinite.</exception>
    public int Next(Span<float> logits)
    {
        if (logits.Length != VocabularySize)
            throw new ArgumentException($"Expected {VocabularySize} logits, got {logits.Length}.", nameof(logits));
        memory?.Penalize(logits, options.RepetitionPenalty);
        int best = Largest(logits);
        if (options.Temperature == 0)
            return best;
        double total = Weigh(logits, logits[best]);
        bool isLimited = options.TopK > 0 || options.TopP < 1 || options.MinP > 0;
        return isLimited ? DrawLimited(total) : DrawFromAll(total);
    }

    // The first of the largest.
    private static int Largest(ReadOnlySpan<float> logits)
    {
        Vector512<float> largest = Vector512.Create(float.NegativeInfinity), sum = Vector512<float>.Zero;
        int i = 0;
        for (; i + VectorMath.Lanes <= logits.Length; i += VectorMath.Lanes)
        {
            Vector512<float> some = Vector512.Create(logits.Slice(i, VectorMath.Lanes));
            largest = Vector512.Max(largest, some);
            // Zero times anything finite is zero.
            sum += some * Vector512<float>.Zero;
        }
        float max = VectorMath.Max(largest), check = VectorMath.Sum(sum);
        for (; i < logits.Length; i++)
        {
            max = MathF.Max(max, logits[i]);
            check += logits[i] * 0;
        }
        if (check != 0)
            throw new InvalidOperationException("A logit is NaN or infinite: the model computes no numbers.");
        return logits.IndexOf(max);
    }

    // weights = exp((logit - largest) / temperature); returns their sum.
    private double Weigh(ReadOnlySpan<float> logits, float largest)
    {
        Vector512<float> max = Vector512.Create(largest), inverse = Vector512.Create(MathF.Min(1f / options.Temperature, MaxInverse));
        logits.CopyTo(weights);
        weights.AsSpan(logits.Length).Fill(largest);
        for (int i = 0; i < weights.Length; i += VectorMath.Lanes)
        {
            Span<float> some = weights.AsSpan(i, VectorMath.Lanes);
            VectorMath.Exp((Vector512.Create((ReadOnlySpan<float>)some) - max) * inverse).CopyTo(some);
        }
        double total = 0;
        for (int i = 0; i < logits.Length; i++)
            total += weights[i];
        return total;
    }

    private int DrawFromAll(double total)
    {
        double rest = random.NextDouble() * total;
        for (int token = 0; token < VocabularySize; token++)
        {
            rest -= weights[token];
            if (rest < 0)
                return token;
        }
        // Rounding left a little: the last token.
        return VocabularySize - 1;
    }

    private int DrawLimited(double total)
    {
        int count = SortLikeliest(total);
        if (options.TopK > 0)
            count = Math.Min(count, options.TopK);
        if (options.TopP < 1)
            count = Nucleus(count, total);
        float least = Weight(candidates[0]) * options.MinP;
        while (count > 1 && Weight(candidates[count - 1]) < least)
            count--;
        double rest = random.NextDouble() * Sum(count);
        for (int i = 0; i < count; i++)
        {
            rest -= Weight(candidates[i]);
            if (rest < 0)
                return Token(candidates[i]);
        }
        return Token(candidates[count - 1]);
    }

    private double Sum(int count)
    {
        double sum = 0;
        for (int i = 0; i < count; i++)
            sum += Weight(candidates[i]);
        return sum;
    }

    // How many of the first candidates have TopP of the weight of them all. After TopK, probabilities are those among the K.
    private int Nucleus(int count, double total)
    {
        double all = options.TopK > 0 ? Sum(count) : total, sum = 0;
        for (int i = 0; i < count; i++)
        {
            sum += Weight(candidates[i]);
            if (sum >= options.TopP * all)
                return i + 1;
        }
        return count;
    }

    // Sorts as many of the likeliest tokens as can be chosen, by weight and then by number, and returns how many. Sorting a
    // whole vocabulary takes longer than some models' tokens, so first only those above a threshold are looked at, which
    // falls until there are enough.
    private int SortLikeliest(double total)
    {
        int wanted = options.TopK > 0 ? Math.Min(options.TopK, VocabularySize) : VocabularySize;
        for (float threshold = 1f / 64; ; threshold /= 64)
        {
            bool isLast = threshold < 1e-30f;
            int count = 0;
            double sum = 0;
            for (int token = 0; token < VocabularySize; token++)
            {
                float weight = weights[token];
                if (weight < threshold && !isLast)
                    continue;
                candidates[count++] = ((ulong)~BitConverter.SingleToUInt32Bits(weight) << 32) | (uint)token;
                sum += weight;
            }
            bool hasEnough = count >= wanted
                || (options.TopK == 0 && options.TopP < 1 && sum >= options.TopP * total)
                || threshold <= options.MinP;
            if (!hasEnough && !isLast)
                continue;
            candidates.AsSpan(0, count).Sort();
            return count;
        }
    }

    private static float Weight(ulong candidate) => BitConverter.UInt32BitsToSingle(~(uint)(candidate >> 32));

    private static int Token(ulong candidate) => (int)(uint)candidate;
}
