using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Analysis.Tests;

public class TernaryFitTests
{
    [Theory]
    [InlineData(Granularity.PerTensor)]
    [InlineData(Granularity.PerChannel)]
    public void Thresholds_find_the_best_of_all_prefixes_of_the_magnitudes(Granularity granularity)
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(1);
        // With uncorrelated inputs of one size the error is Σ (w - s t)². Thresholds in tenths of the mean cannot cut everywhere, so
        // the weights are such multiples themselves.
        Tensor weights = tensor(new[] { 0.3, -1.9, 0.1, 1.1, 0.9, -0.7, 2.5, -0.5 }).reshape(2, 4);
        weights = weights / weights.abs().mean(granularity == Granularity.PerChannel ? [1] : [0, 1], keepdim: true);
        var (trits, scales) = new TernaryFit(weights, eye(4, dtype: ScalarType.Float64), granularity).Solve(CalibrationMethod.Thresholds);
        int rows = granularity == Granularity.PerChannel ? 2 : 1;
        for (int row = 0; row < rows; row++)
        {
            double[] w = [.. (rows == 2 ? weights[row] : weights.flatten()).data<double>()];
            double[] t = [.. (rows == 2 ? trits[row] : trits.flatten()).data<double>()];
            double scale = scales[row, 0].item<double>();
            double error = w.Zip(t).Sum(pair => Math.Pow(pair.First - (scale * pair.Second), 2));
            double best = Enumerable.Range(1, w.Length).Min(count =>
            {
                double[] largest = [.. w.Select(Math.Abs).OrderDescending().Take(count)];
                return largest.Sum(m => Math.Pow(m - largest.Average(), 2)) + w.Sum(x => x * x) - largest.Sum(m => m * m);
            });
            Assert.Equal(best, error, 1e-12);
        }
    }

    [Theory]
    [InlineData(Granularity.PerTensor)]
    [InlineData(Granularity.PerChannel)]
    public void Error_feedback_ends_where_no_single_change_helps_and_below_thresholds(Granularity granularity)
    {
        using DisposeScope scope = NewDisposeScope();
        double sum = 0, thresholdSum = 0;
        for (int seed = 0; seed < 5; seed++)
        {
            random.manual_seed(seed);
            Tensor weights = randn(6, 12, ScalarType.Float64), h = Moments(12);
            double threshold = Error(weights, h, new TernaryFit(weights, h, granularity).Solve(CalibrationMethod.Thresholds));
            (Tensor Trits, Tensor Scales) found = new TernaryFit(weights, h, granularity).Solve(CalibrationMethod.ErrorFeedback);
            double error = Error(weights, h, found);
            Assert.True(error <= threshold * (1 + 1e-12), $"{error} against {threshold}");
            (sum, thresholdSum) = (sum + error, thresholdSum + threshold);
            Assert.True(found.Trits.abs().le(1).all().item<bool>());
            Assert.True(found.Trits.eq(found.Trits.round()).all().item<bool>());
            if (granularity == Granularity.PerTensor)
                Assert.Single(found.Scales.data<double>().Distinct());

            // In float32 a change that helps by less than a rounding error is not seen.
            double bound = error * (1 - 1e-5);
            for (int i = 0; i < 6; i++)
            {
                for (int j = 0; j < 12; j++)
                {
                    foreach (double other in new[] { -1.0, 0, 1 })
                    {
                        Tensor changed = found.Trits.clone();
                        changed[i, j] = other;
                        Assert.True(Error(weights, h, (changed, found.Scales)) >= bound);
                    }
                }
            }
            foreach (double factor in new[] { 0.99, 1.01 })
                Assert.True(Error(weights, h, (found.Trits, found.Scales * factor)) >= bound);
        }
        Assert.True(sum < 0.85 * thresholdSum, $"{sum} against {thresholdSum}");
    }

    [Fact]
    public void Error_feedback_is_near_the_best_of_all_trits_and_scales()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(3);
        const int K = 7;
        Tensor all = cartesian_prod([.. Enumerable.Repeat(tensor(new double[] { -1, 0, 1 }), K)]), weights = randn(40, K, ScalarType.Float64);
        Tensor h = Moments(K);
        (Tensor trits, Tensor scales) = new TernaryFit(weights, h, Granularity.PerChannel).Solve(CalibrationMethod.ErrorFeedback);
        double found = 0, best = 0;
        for (int row = 0; row < 40; row++)
        {
            Tensor w = weights[row];
            // By the best scale of each: w H wᵀ - (w H tᵀ)² / t H tᵀ.
            Tensor overlap = all.mv(h.mv(w)), squares = (all.mm(h) * all).sum(dim: 1).clamp(min: 1e-300);
            best += (w.dot(h.mv(w)) - (overlap.square() / squares).max()).item<double>();
            found += Error(w.unsqueeze(0), h, (trits[row].unsqueeze(0), scales[row].unsqueeze(0)));
        }
        Assert.InRange(found, best * (1 - 1e-9), best * 1.35);
    }

    [Theory]
    [InlineData(CalibrationMethod.Thresholds)]
    [InlineData(CalibrationMethod.ErrorFeedback)]
    public void Rows_of_zeros_have_trits_and_a_scale_of_zero(CalibrationMethod method)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor weights = randn(3, 8, ScalarType.Float64);
        weights[1] = 0;
        (Tensor trits, Tensor scales) = new TernaryFit(weights, Moments(8), Granularity.PerChannel).Solve(method);
        Assert.Equal(0, trits[1].abs().sum().item<double>());
        Assert.Equal(0, scales[1].item<double>());
        Assert.True(trits[0].abs().sum().item<double>() > 0);
        (trits, _) = new TernaryFit(zeros_like(weights), Moments(8), Granularity.PerTensor).Solve(method);
        Assert.Equal(0, trits.abs().sum().item<double>());
    }

    // Inputs that depend on each other, as a hidden layer's do.
    private static Tensor Moments(int size)
    {
        Tensor x = randn(100, size, ScalarType.Float64).mm(randn(size, size, ScalarType.Float64)) + 0.5;
        return x.T.mm(x) / 100;
    }

    private static double Error(Tensor weights, Tensor h, (Tensor Trits, Tensor Scales) ternary)
    {
        Tensor rest = weights - (ternary.Trits * ternary.Scales);
        return (rest.mm(h) * rest).sum().item<double>();
    }
}
