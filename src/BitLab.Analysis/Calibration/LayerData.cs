using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Analysis;

/// <summary>What least squares asks of a layer's inputs x and of the outputs y that are wanted for them: sums over all
/// tokens, in float64, on the CPU.</summary>
internal sealed class LayerData : IDisposable
{
    public LayerData(long inputs, long outputs)
    {
        using DisposeScope scope = NewDisposeScope();
        InputSum = zeros(inputs, ScalarType.Float64).DetachFromDisposeScope();
        OutputSum = zeros(outputs, ScalarType.Float64).DetachFromDisposeScope();
        Moments = zeros(inputs, inputs, ScalarType.Float64).DetachFromDisposeScope();
        CrossMoments = zeros(outputs, inputs, ScalarType.Float64).DetachFromDisposeScope();
    }

    public long Tokens { get; private set; }

    /// <summary>Σ x, (K).</summary>
    public Tensor InputSum { get; }

    /// <summary>Σ y, (N).</summary>
    public Tensor OutputSum { get; }

    /// <summary>Σ x xᵀ, (K, K).</summary>
    public Tensor Moments { get; }

    /// <summary>Σ y xᵀ, (N, K).</summary>
    public Tensor CrossMoments { get; }

    /// <summary>Σ ‖y‖².</summary>
    public double OutputSquares { get; private set; }

    /// <summary>Whether no input or output was NaN or infinite.</summary>
    public bool IsFinite => double.IsFinite(OutputSquares) && Moments.trace().isfinite().item<bool>();

    /// <param name="input">(*, K).</param>
    /// <param name="output">(*, N).</param>
    public void Add(Tensor input, Tensor output)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Rows(input, InputSum.size(0)), y = Rows(output, OutputSum.size(0));
        InputSum.add_(x.sum(dim: 0));
        OutputSum.add_(y.sum(dim: 0));
        Moments.add_(x.T.mm(x));
        CrossMoments.add_(y.T.mm(x));
        OutputSquares += y.square().sum().item<double>();
        Tokens += x.size(0);

        static Tensor Rows(Tensor values, long size) => values.detach().to(ScalarType.Float64, CPU).reshape(-1, size);
    }

    /// <summary>‖y_q - y‖ / ‖y‖ for y_q = weights · x + bias.</summary>
    /// <param name="weights">(N, K), float64.</param>
    /// <param name="bias">(N), float64, or null.</param>
    public double RelativeError(Tensor weights, Tensor? bias)
    {
        using DisposeScope scope = NewDisposeScope();
        double error = OutputSquares + (weights * (weights.mm(Moments) - (2 * CrossMoments))).sum().item<double>();
        if (bias is not null)
        {
            Tensor meanless = weights.mv(InputSum) - OutputSum;
            error += (bias * ((2 * meanless) + (Tokens * bias))).sum().item<double>();
        }
        // Rounding may leave less than nothing of an error of nothing.
        return error <= 0 ? 0 : Math.Sqrt(error / OutputSquares);
    }

    public void Dispose()
    {
        InputSum.Dispose();
        OutputSum.Dispose();
        Moments.Dispose();
        CrossMoments.Dispose();
    }
}
