using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Analysis;

/// <summary>Says what converting a trained float model without training it further would cost.</summary>
public static class ModelAnalysis
{
    /// <summary>Measures each layer that a conversion would make ternary, alone and together with the others, and recommends
    /// which to leave as they are.</summary>
    /// <remarks>Linear layers, and convolutions where <see cref="AnalysisOptions.Conversion"/> asks for them. The model is in eval mode meanwhile, without gradients. It is as before afterwards, bit by bit and in its modes, also
    /// where an exception ends the analysis: ternary copies answer the layers' calls for a while.</remarks>
    /// <param name="model">Any TorchSharp model that maps a tensor to a tensor.</param>
    /// <param name="batches">Inputs and targets, read several times (about two times the number of layers): a list rather than a
    /// query. They stay the caller's.</param>
    /// <param name="options">What to convert, what to measure; null: <see cref="AnalysisOptions.Default"/>.</param>
    /// <returns>The report.</returns>
    /// <exception cref="ArgumentException">There are no batches, or no layers to convert.</exception>
    /// <exception cref="QuantizationException">A weight is NaN or infinite; the error names the layer.</exception>
    public static AnalysisReport Analyze(
        this nn.Module<Tensor, Tensor> model, IEnumerable<(Tensor Input, Tensor Target)> batches, AnalysisOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(batches);
        Metric metric = (options ?? AnalysisOptions.Default).Metric;
        return Analyze(model, () => Evaluate(model, batches, metric), options);
    }

    /// <summary>The same for a model of any signature.</summary>
    /// <param name="model">Any TorchSharp model.</param>
    /// <param name="evaluate">Runs the model on the data, in the mode in which it is, and gives
    /// <see cref="AnalysisOptions.Metric"/>'s number, whose <see cref="Metric.Of"/> is not called then. The same data in the same
    /// order each time.</param>
    /// <param name="options">What to convert, what the metric is called; null: <see cref="AnalysisOptions.Default"/>.</param>
    /// <returns>The report.</returns>
    /// <exception cref="ArgumentException">There are no layers to convert.</exception>
    /// <exception cref="QuantizationException">A weight is NaN or infinite; the error names the layer.</exception>
    public static AnalysisReport Analyze(this nn.Module model, Func<double> evaluate, AnalysisOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(evaluate);
        options ??= AnalysisOptions.Default;
        using var evalMode = new EvalMode(model);
        using var twins = new TernaryTwins(model, options.Conversion);
        var errors = twins.Select(twin => new OutputError(twin)).ToArray();
        foreach (TernaryTwin twin in twins)
            twin.Ternary.Deploy();

        double floatMetric = evaluate();
        double[] metrics = new double[twins.Count];
        for (int i = 0; i < twins.Count; i++)
            metrics[i] = MetricWith(twins[i]);
        double[] drops = [.. metrics.Select(Drop)];
        int[] bySensitivity =
            [.. Enumerable.Range(0, twins.Count).OrderByDescending(i => drops[i]).ThenByDescending(i => errors[i].Relative)];
        double allTernary = MetricWith([.. twins]);
        (HashSet<int> kept, double recommended) = Recommend();

        return new AnalysisReport
        {
            MetricName = options.Metric.Name,
            HigherIsBetter = options.Metric.HigherIsBetter,
            FloatMetric = floatMetric,
            AllTernaryMetric = allTernary,
            RecommendedMetric = recommended,
            MaxDrop = options.MaxDrop,
            Config = options.Conversion.Config,
            SubLN = options.Conversion.SubLN,
            Convolutions = options.Conversion.Convolutions,
            Layers = [.. twins.Select((twin, i) => Describe(twin, i))],
            LeftOut = twins.LeftOut,
        };

        double Drop(double metric) => Drops.Of(floatMetric, metric, options.Metric.HigherIsBetter);

        double MetricWith(params TernaryTwin[] ternary)
        {
            foreach (TernaryTwin twin in twins)
                twin.Answer(isTernary: ternary.Contains(twin));
            return evaluate();
        }

        // The rule is AnalysisReport's.
        (HashSet<int> Kept, double Metric) Recommend()
        {
            var kept = new HashSet<int>();
            double metric = allTernary;
            foreach (int next in bySensitivity)
            {
                if (Drop(metric) <= options.MaxDrop)
                    break;
                kept.Add(next);
                metric = MetricWithout(kept);
            }
            // The last one added is needed: without it the bound was missed.
            foreach (int candidate in bySensitivity.Where(kept.Contains).Reverse().Skip(1).ToArray())
            {
                double without = MetricWithout(kept.Where(i => i != candidate));
                if (Drop(without) > options.MaxDrop)
                    continue;
                kept.Remove(candidate);
                metric = without;
            }
            return (kept, metric);
        }

        double MetricWithout(IEnumerable<int> kept) => MetricWith([.. twins.Where((_, i) => !kept.Contains(i))]);

        LayerAnalysis Describe(TernaryTwin twin, int i)
        {
            using DisposeScope scope = NewDisposeScope();
            return new LayerAnalysis
            {
                Name = twin.Path,
                Layer = twin.Float.GetType().Name,
                Shape = twin.Weight.shape,
                Calls = errors[i].Calls,
                Error = errors[i].Relative,
                Sparsity = twin.Ternary.QWeight.eq(0).to(ScalarType.Float64).mean().item<double>(),
                Scale = twin.Ternary.QWeightScale.to(ScalarType.Float64).mean().item<double>(),
                BytesBefore = twins.Row(twin).BytesBefore,
                BytesAfter = twins.Row(twin).BytesAfter,
                Metric = metrics[i],
                Drop = drops[i],
                Rank = Array.IndexOf(bySensitivity, i) + 1,
                Keep = kept.Contains(i),
            };
        }
    }

    private static double Evaluate(nn.Module<Tensor, Tensor> model, IEnumerable<(Tensor Input, Tensor Target)> batches, Metric metric)
    {
        double sum = 0;
        long examples = 0;
        foreach ((Tensor input, Tensor target) in batches)
        {
            // What the model makes and keeps, such as a table it fills on its first call, must not be freed with this batch.
            using Tensor output = model.call(input);
            using DisposeScope scope = NewDisposeScope();
            sum += metric.Of(output, target) * input.size(0);
            examples += input.size(0);
        }
        return examples > 0 ? sum / examples : throw new ArgumentException("There are no batches to measure the model on.", nameof(batches));
    }
}
