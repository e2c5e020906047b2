using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Analysis;

/// <summary>One layer's calibration.</summary>
/// <param name="before">The layers that are calibrated already, which the model calls before this one.</param>
/// <param name="twin">The layer.</param>
/// <param name="options">How.</param>
internal sealed class LayerCalibration(IReadOnlyCollection<TernaryTwin> before, TernaryTwin twin, CalibrationOptions options)
{
    private BitQuantConfig Config => options.Conversion.Config;

    /// <summary>Makes the twin's parameters those that fit best.</summary>
    /// <exception cref="ArgumentException">The data makes the layer's inputs or outputs NaN or infinite.</exception>
    public CalibratedLayer Fit(Action run)
    {
        using DisposeScope scope = NewDisposeScope();
        using LayerData data = Collect(run);
        if (!data.IsFinite)
            throw new ArgumentException($"'{twin.Path}' cannot be calibrated: the data makes some of its inputs or outputs NaN or infinite.");
        Tensor floatWeights = twin.Weight.detach().to(ScalarType.Float64, CPU).flatten(1);
        Tensor? bias = twin.Bias?.detach().to(ScalarType.Float64, CPU);
        double errorBefore = data.RelativeError(TernaryWeights(), bias);

        bool fitsBias = bias is not null && options.CorrectsBias;
        Tensor moments = data.Moments, cross = data.CrossMoments;
        if (fitsBias)
        {
            // A bias that is free takes the means out of the problem.
            moments = moments - (data.InputSum.outer(data.InputSum) / data.Tokens);
            cross = cross - (data.OutputSum.outer(data.InputSum) / data.Tokens);
        }
        else if (bias is not null)
        {
            cross = cross - bias.outer(data.InputSum);
        }
        Tensor damped = moments + (eye(moments.size(0), dtype: ScalarType.Float64) * (moments.diagonal().mean().clamp(min: 1e-12) * options.Damping));
        Tensor residue = cross - floatWeights.mm(moments);
        Tensor wanted = floatWeights + residue.T.cholesky_solve(linalg.cholesky(damped)).T;

        var (trits, scales) = new TernaryFit(wanted, damped, Config.WeightGranularity).Solve(options.Method);
        using (no_grad())
            twin.Ternary.weight!.copy_(LatentWeights.Of(wanted, trits, scales, Config.WeightGranularity).reshape(twin.Weight.shape));
        Tensor ternary = TernaryWeights();
        if (fitsBias)
        {
            bias = (data.OutputSum - ternary.mv(data.InputSum)) / data.Tokens;
            using (no_grad())
                twin.TernaryBias!.copy_(bias);
        }
        return new CalibratedLayer
        {
            Name = twin.Path,
            Tokens = data.Tokens,
            ErrorBefore = errorBefore,
            ErrorAfter = data.RelativeError(ternary, bias),
            Sparsity = twin.Ternary.QWeight.eq(0).to(ScalarType.Float64).mean().item<double>(),
            Scale = twin.Ternary.QWeightScale.to(ScalarType.Float64).mean().item<double>(),
        };
    }

    /// <summary>What the layer's own quantizer makes of the weights of this moment, (N, K).</summary>
    private Tensor TernaryWeights() =>
        twin.Ternary.QWeight.to(ScalarType.Float64).flatten(1) * twin.Ternary.QWeightScale.to(ScalarType.Float64).reshape(-1, 1);

    /// <summary>Runs the float model for the outputs that are wanted, then the model as it is so far for the inputs.</summary>
    private LayerData Collect(Action run)
    {
        var wanted = new Queue<Tensor>();
        var data = new LayerData(twin.Weight.numel() / twin.Weight.size(0), twin.Weight.size(0));
        try
        {
            Answer(isTernary: false);
            twin.OnCall = (_, output) =>
            {
                using DisposeScope scope = NewDisposeScope();
                wanted.Enqueue(output.detach().to(ScalarType.Float32, CPU).clone().DetachFromDisposeScope());
                return null;
            };
            run();
            Answer(isTernary: true);
            twin.OnCall = (input, output) =>
            {
                using DisposeScope scope = NewDisposeScope();
                // Where the model has called it otherwise than before, only its own float output is there to be wanted.
                using Tensor? y = wanted.TryDequeue(out Tensor? next) ? next : null;
                Tensor isWanted = y is not null && y.shape.SequenceEqual(output.shape) ? y : output;
                foreach ((Tensor inputs, Tensor outputs) in LayerTokens.Of(twin.Ternary, input.detach(), isWanted.detach()))
                    data.Add(inputs, outputs);
                return null;
            };
            run();
            return data;
        }
        catch
        {
            data.Dispose();
            throw;
        }
        finally
        {
            twin.OnCall = null;
            foreach (Tensor y in wanted)
                y.Dispose();
        }

        void Answer(bool isTernary)
        {
            foreach (TernaryTwin earlier in before)
                earlier.Answer(isTernary);
        }
    }
}
