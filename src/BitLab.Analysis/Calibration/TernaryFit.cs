using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Analysis;

/// <summary>Finds trits T and scales s that make Σ ‖(W - s · T) x‖² small, the sum over inputs x with the second moments H: the
/// quadratic form (w - s · t) H (w - s · t)ᵀ, summed over the rows.</summary>
/// <remarks>For given trits the best scale is s = w H tᵀ / t H tᵀ, and it takes w H tᵀ · s off the error of t = 0: the
/// gain.</remarks>
internal sealed class TernaryFit
{
    private const int MaxSweeps = 20;

    // Thresholds in units of the mean magnitude. Absmean's is 0.5.
    private static readonly double[] Thresholds = [.. Enumerable.Range(1, 20).Select(i => 0.1 * i)];

    private readonly Tensor weights;
    private readonly Tensor moments;
    private readonly Tensor projected;
    private readonly Granularity granularity;

    /// <param name="weights">W, (N, K), float64.</param>
    /// <param name="moments">H, (K, K), float64, positive definite.</param>
    /// <param name="granularity">What shares a scale.</param>
    public TernaryFit(Tensor weights, Tensor moments, Granularity granularity)
    {
        this.weights = weights;
        this.moments = moments;
        this.granularity = granularity;
        projected = weights.mm(moments);
    }

    /// <summary>The best trits and scales that the method finds.</summary>
    /// <returns>Trits (N, K) and scales (N, 1), float64; one for the tensor is repeated in each row. A scale is 0 where all of its
    /// trits are.</returns>
    public (Tensor Trits, Tensor Scales) Solve(CalibrationMethod method)
    {
        using DisposeScope scope = NewDisposeScope();
        Candidate best = Threshold();
        if (method == CalibrationMethod.ErrorFeedback)
        {
            Candidate rounded = RoundWithFeedback(best.Scales);
            best = Better(Improve(best), Improve(rounded));
        }
        return (best.Trits.MoveToOuterDisposeScope(), best.Scales.MoveToOuterDisposeScope());
    }

    private Candidate Threshold()
    {
        Tensor magnitudes = weights.abs(), unit = Shared(magnitudes.mean([1L], keepdim: true));
        if (granularity == Granularity.PerTensor)
            unit = unit / weights.size(0);
        Tensor signs = weights.sign();
        return Thresholds.Select(threshold => Score(signs * magnitudes.gt(unit * threshold))).Aggregate(Better);
    }

    /// <summary>Rounds column after column, those with the largest moments first, and lets the columns to come make up for the
    /// error.</summary>
    /// <remarks>Frantar et al. 2022, "GPTQ", arXiv:2210.17323, with the factor U of H⁻¹ = Uᵀ U.</remarks>
    private Candidate RoundWithFeedback(Tensor scales)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor order = moments.diagonal().argsort(0, descending: true), back = order.argsort();
        Tensor factor = Upper(moments.index_select(0, order).index_select(1, order));
        float[] rounded = Floats(weights.index_select(1, order));
        ErrorFeedback.Round(rounded, Floats(factor), Floats(scales));
        return Score(tensor(rounded, weights.shape).index_select(1, back)).MoveToOuterDisposeScope();

        static Tensor Upper(Tensor h) => linalg.cholesky(linalg.cholesky(h).cholesky_inverse()).T;
    }

    /// <summary>Changes single trits, then scales, in turn, until no change of a trit helps.</summary>
    private Candidate Improve(Candidate start)
    {
        float[] h = Floats(moments);
        Candidate best = start;
        for (int sweep = 0; sweep < MaxSweeps; sweep++)
        {
            using DisposeScope scope = NewDisposeScope();
            float[] trits = Floats(best.Trits);
            if (!ErrorFeedback.Sweep(trits, Floats(projected - (best.Scales * best.Projected)), h, Floats(best.Scales)))
                break;
            best = Better(best, Score(tensor(trits, weights.shape))).MoveToOuterDisposeScope();
        }
        return best;
    }

    private Candidate Score(Tensor givenTrits)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor trits = givenTrits.to(ScalarType.Float64), tritsProjected = trits.mm(moments);
        Tensor overlap = Shared((trits * projected).sum(dim: 1, keepdim: true));
        Tensor squares = Shared((trits * tritsProjected).sum(dim: 1, keepdim: true));
        Tensor scales = (overlap / squares).nan_to_num(0, 0, 0).clamp(min: 0), isUseful = scales.gt(0);
        return new Candidate(trits * isUseful, tritsProjected * isUseful, scales, overlap * scales).MoveToOuterDisposeScope();
    }

    /// <summary>For each group with a scale of its own, the candidate that gains more; the first one where neither does. Both are
    /// disposed: of large matrices there are to be no more than needed.</summary>
    private static Candidate Better(Candidate a, Candidate b)
    {
        using Tensor isBetter = b.Gains.gt(a.Gains);
        var better = new Candidate(
            Choose(b.Trits, a.Trits), Choose(b.Projected, a.Projected), Choose(b.Scales, a.Scales), Choose(b.Gains, a.Gains));
        a.Dispose();
        b.Dispose();
        return better;

        Tensor Choose(Tensor ofB, Tensor ofA) => where(isBetter, ofB, ofA);
    }

    /// <summary>Sums of rows, or the tensor's where it has one scale.</summary>
    private Tensor Shared(Tensor ofRows) =>
        granularity == Granularity.PerTensor ? ofRows.sum().expand(ofRows.shape) : ofRows;

    private static float[] Floats(Tensor values)
    {
        using DisposeScope scope = NewDisposeScope();
        return values.to(ScalarType.Float32).contiguous().data<float>().ToArray();
    }

    /// <summary>Trits T and T H, (N, K), scales and gains, (N, 1).</summary>
    private sealed record Candidate(Tensor Trits, Tensor Projected, Tensor Scales, Tensor Gains) : IDisposable
    {
        public Candidate MoveToOuterDisposeScope()
        {
            foreach (Tensor part in Parts)
                part.MoveToOuterDisposeScope();
            return this;
        }

        public void Dispose()
        {
            foreach (Tensor part in Parts)
                part.Dispose();
        }

        private Tensor[] Parts => [Trits, Projected, Scales, Gains];
    }
}
