using System.Diagnostics;

namespace BitLab.Benchmarks;

/// <summary>Proves on a small shape that a contestant computes what it is measured for: y = x · Wᵀ.</summary>
internal static class SelfCheck
{
    // Relative to Σ |x| · |w|. Inputs rounded to 8 bits err by some 0.05 % of it, bfloat16 by 0.2 % of y, which is smaller.
    // Weights in a wrong order err by 5 % and more.
    private const double Tolerance = 0.005;

    // As often as makes .NET compile a method anew, so what is checked is what will be measured; but the reference kernel
    // is slow.
    private const int WarmUps = 40;
    private const int WarmUpMilliseconds = 50;

    private static readonly Shape Small = new(K: 256, N: 96);

    /// <summary>Prepares it, compares it and disposes it.</summary>
    /// <exception cref="InvalidOperationException">It computes something else.</exception>
    public static void Run(Contestant contestant, IEnumerable<int> threadCounts)
    {
        contestant.Prepare(Small);
        foreach (int threads in threadCounts)
        {
            contestant.SetThreads(threads);
            foreach (int tokens in (int[])[1, 8, 37])
            {
                contestant.SetTokens(tokens);
                var watch = Stopwatch.StartNew();
                for (int i = 0; i < WarmUps && watch.ElapsedMilliseconds < WarmUpMilliseconds; i++)
                    contestant.Run(1);
                Compare(contestant.Name, contestant.Compute(), tokens);
            }
        }
        contestant.Dispose();
    }

    private static void Compare(string name, Product product, int tokens)
    {
        for (int i = 0; i < tokens; i++)
        {
            for (int j = 0; j < Small.N; j++)
            {
                double sum = 0, magnitude = 0;
                for (int k = 0; k < Small.K; k++)
                {
                    double term = (double)product.X[(i * Small.K) + k] * product.W[(j * Small.K) + k];
                    sum += term;
                    magnitude += Math.Abs(term);
                }
                float y = product.Y[(i * Small.N) + j];
                if (!(Math.Abs(y - sum) <= Tolerance * magnitude))
                {
                    throw new InvalidOperationException(
                        $"{name} computes y[{i}, {j}] = {y} of {tokens} tokens, which should be {sum}.");
                }
            }
        }
    }
}
