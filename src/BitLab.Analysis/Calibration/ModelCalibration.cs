using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Analysis;

/// <summary>Converts a trained float model so that what its layers compute on given data stays close to what they computed before:
/// much closer than by rounding alone, without training.</summary>
public static class ModelCalibration
{
    /// <summary>Makes layer after layer ternary, in the order in which the model calls them, and fits trits, scale and bias to the
    /// outputs that the float layer had, for the inputs that the layers converted so far leave.</summary>
    /// <remarks>
    /// <para>For a layer with inputs x (quantized, from the layers before as they have become) and float outputs y (of the float
    /// model), the best weights W* solve least squares, y ≈ W* x + b. Trits and scales are then fitted to W* by
    /// <see cref="CalibrationOptions.Method"/>, measured by the inputs' second moments: ‖(W* - s · T) x‖² over the data. The bias
    /// takes up the mean of the rest.</para>
    /// <para>Convolutions, where the options convert them, are fitted likewise, to the positions that their outputs look at;
    /// grouped ones are converted as they are.</para>
    /// <para>The model's parameters become float weights of which the layers' own quantizer makes these trits and scales, in
    /// training as in eval mode and <c>Deploy()</c>. The former values are gone: keep a state dict where they are needed.</para>
    /// <para>Error feedback: Frantar et al. 2022, arXiv:2210.17323. Inputs of the converted model with outputs of the float one:
    /// Li et al. 2025, "GPTAQ", arXiv:2504.02692.</para>
    /// </remarks>
    /// <param name="model">Any TorchSharp model that maps a tensor to a tensor.</param>
    /// <param name="batches">Inputs, a few hundred tokens or more, read two times for each layer and once more: a list rather
    /// than a query. They stay the caller's.</param>
    /// <param name="options">Which layers, how; null: <see cref="CalibrationOptions.Default"/>.</param>
    /// <returns>What became of the model and of each layer's error.</returns>
    /// <exception cref="ArgumentException">There are no layers to convert, the config's scale is not absmean, or the data makes a
    /// layer's inputs or outputs NaN or infinite. The model is as before, as with every exception.</exception>
    /// <exception cref="QuantizationException">A weight is NaN or infinite; the error names the layer.</exception>
    public static CalibrationReport Calibrate(
        this nn.Module<Tensor, Tensor> model, IEnumerable<Tensor> batches, CalibrationOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(batches);
        return Calibrate(model, () =>
        {
            foreach (Tensor batch in batches)
                model.call(batch).Dispose();
        }, options);
    }

    /// <summary>The same for a model of any signature.</summary>
    /// <param name="model">Any TorchSharp model.</param>
    /// <param name="run">Runs the model on the data, in the mode in which it is: the same data in the same order each
    /// time.</param>
    /// <param name="options">Which layers, how; null: <see cref="CalibrationOptions.Default"/>.</param>
    /// <returns>What became of the model and of each layer's error.</returns>
    /// <exception cref="ArgumentException">There are no layers to convert, the config's scale is not absmean, or the data makes a
    /// layer's inputs or outputs NaN or infinite. The model is as before, as with every exception.</exception>
    /// <exception cref="QuantizationException">A weight is NaN or infinite; the error names the layer.</exception>
    public static CalibrationReport Calibrate(this nn.Module model, Action run, CalibrationOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(run);
        options ??= CalibrationOptions.Default;
        if (options.Conversion.Config.WeightScale != WeightScale.Absmean)
        {
            throw new ArgumentException(
                "A median is the scale only where at most half of the trits are 0, so only absmean layers can be calibrated.", nameof(options));
        }
        var layers = new Dictionary<TernaryTwin, CalibratedLayer>();
        var others = new Dictionary<TernaryTwin, string>();
        using var twins = new TernaryTwins(model, options.Conversion);
        using (new EvalMode(model))
        {
            List<TernaryTwin> called = CallOrder(twins, run);
            foreach (TernaryTwin twin in twins.Except(called))
                others[twin] = "the model did not call it";
            for (int i = 0; i < called.Count; i++)
            {
                if (LayerTokens.WhyNot(called[i].Ternary) is string why)
                    others[called[i]] = why;
                else
                    layers[called[i]] = new LayerCalibration(called[..i], called[i], options).Fit(run);
            }
        }
        twins.StopProbing();

        ConversionReport conversion = model.ConvertToBitLinear(options.Conversion);
        using (no_grad())
        {
            foreach (TernaryTwin twin in layers.Keys)
            {
                // The converted layer has the same parameter objects.
                twin.Weight.copy_(twin.Ternary.weight!);
                twin.Bias?.copy_(twin.TernaryBias!);
            }
        }
        return new CalibrationReport
        {
            Conversion = conversion,
            Config = options.Conversion.Config,
            Layers = [.. twins.Where(layers.ContainsKey).Select(twin => layers[twin])],
            NotCalibrated = [.. twins.Where(others.ContainsKey).Select(twin => new UncalibratedLayer(twin.Path, others[twin]))],
        };
    }

    private static List<TernaryTwin> CallOrder(TernaryTwins twins, Action run)
    {
        var called = new List<TernaryTwin>();
        foreach (TernaryTwin twin in twins)
        {
            twin.OnCall = (_, _) =>
            {
                called.Add(twin);
                twin.OnCall = null;
                return null;
            };
        }
        run();
        foreach (TernaryTwin twin in twins)
            twin.OnCall = null;
        return called;
    }
}
