using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>Root mean square normalization: y = x / sqrt(mean(x²) + eps) · weight, over the last dimension.</summary>
/// <remarks>Zhang and Sennrich 2019, arXiv:1910.07467. In front of a <see cref="BitLinear"/> it is BitNet's SubLN. It is
/// computed in float32 whatever the input's type.</remarks>
public sealed class RMSNorm : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = nameof(weight))]
    private Parameter gain;

    /// <summary>Creates the layer with all weights 1.</summary>
    /// <param name="features">The size of the last dimension.</param>
    /// <param name="eps">What keeps the root from zero.</param>
    /// <param name="device">Where; default: the CPU.</param>
    /// <param name="dtype">The weight's type; default: float32.</param>
    public RMSNorm(long features, double eps = 1e-5, Device? device = null, ScalarType? dtype = null)
        : base(nameof(RMSNorm))
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(features);
        Eps = eps;
        gain = nn.Parameter(ones(features, dtype, device));
        RegisterComponents();
    }

    /// <summary>What keeps the root from zero.</summary>
    public double Eps { get; }

    /// <summary>(features): what each normalized feature is multiplied by.</summary>
    public Parameter weight
    {
        get => gain;
        private set
        {
            gain.Dispose();
            gain = value;
            ConditionallyRegisterParameter(nameof(weight), value);
        }
    }

    /// <summary>Normalizes.</summary>
    /// <param name="input">(*, features).</param>
    /// <returns>The same shape and type.</returns>
    public override Tensor forward(Tensor input)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = input.to(ScalarType.Float32);
        Tensor root = (x.square().mean([-1L], keepdim: true) + Eps).rsqrt();
        return (x * root * gain.to(ScalarType.Float32)).to(input.dtype).MoveToOuterDisposeScope();
    }
}
