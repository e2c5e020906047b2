using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>How good a model is on some data.</summary>
/// <param name="Loss">The mean loss of a sample.</param>
/// <param name="Metric">The mean metric of a sample, by default the share of right answers; NaN where there is none.</param>
/// <param name="Samples">How many samples there were.</param>
public sealed record Evaluation(double Loss, double Metric, long Samples)
{
    /// <summary>Evaluates a model in eval mode, which computes with packed weights; afterwards its mode is as before.</summary>
    /// <param name="model">Any model.</param>
    /// <param name="batches">The data.</param>
    /// <param name="loss">The mean loss of a batch, from outputs and targets; null: cross entropy.</param>
    /// <param name="metric">The mean metric of a batch, from outputs and targets; null: the share of samples whose largest
    /// output is the target, where targets are classes.</param>
    /// <returns>Means over all samples.</returns>
    /// <exception cref="ArgumentException">There are no samples.</exception>
    public static Evaluation Of(
        nn.Module<Tensor, Tensor> model, IEnumerable<Batch> batches, Func<Tensor, Tensor, Tensor>? loss = null,
        Func<Tensor, Tensor, double>? metric = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(batches);
        loss ??= CrossEntropy;
        metric ??= Accuracy;
        bool training = model.training;
        double lossSum = 0, metricSum = 0;
        long samples = 0;
        model.eval();
        try
        {
            using IDisposable noGradients = no_grad();
            using IEnumerator<Batch> all = batches.GetEnumerator();
            while (true)
            {
                using DisposeScope scope = NewDisposeScope();
                if (!all.MoveNext())
                    break;
                (Tensor input, Tensor target) = all.Current;
                Tensor output = model.call(input);
                long size = input.size(0);
                lossSum += size * loss(output, target).to(ScalarType.Float64).item<double>();
                metricSum += size * metric(output, target);
                samples += size;
            }
        }
        finally
        {
            model.train(training);
        }
        return samples > 0
            ? new Evaluation(lossSum / samples, metricSum / samples, samples)
            : throw new ArgumentException("There are no samples to evaluate.", nameof(batches));
    }

    internal static Tensor CrossEntropy(Tensor output, Tensor target) => nn.functional.cross_entropy(output, target);

    private static double Accuracy(Tensor output, Tensor target)
    {
        if (target.dtype != ScalarType.Int64 || output.ndim != target.ndim + 1)
            return double.NaN;
        using DisposeScope scope = NewDisposeScope();
        return output.argmax(1).eq(target).to(ScalarType.Float64).mean().item<double>();
    }
}
