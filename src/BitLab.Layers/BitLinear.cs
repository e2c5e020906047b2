using BitLab.Core;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>A linear layer with ternary weights: y = quantize(x) · ternary(W)ᵀ + b.</summary>
/// <remarks>
/// <para>In train mode, inputs and weights are fake-quantized with a straight-through gradient
/// (<see cref="StraightThrough"/>), on any device. In eval mode on the CPU, packed weights are multiplied by a kernel of
/// <see cref="KernelRegistry"/>; then no gradient reaches the weights, and one reaches the input only where the input asks
/// for it (<c>requires_grad</c>), which takes the float way. On other devices eval computes in floats.</para>
/// <para>Ma et al. 2024, arXiv:2402.17764. The input normalization is SubLN, Wang et al. 2023, arXiv:2310.11453.</para>
/// </remarks>
public sealed class BitLinear : BitLayerBase
{
    [ComponentName(Name = nameof(bias))]
    private Parameter? offset;

    // The key is that of the Hugging Face form of such layers.
    private readonly RMSNorm? rms_norm;

    /// <summary>Creates the layer, with the parameters of <c>nn.Linear</c> and some more.</summary>
    /// <param name="inputSize">In features, K: 1 to <see cref="PackedTernaryWeights.MaxColumns"/>.</param>
    /// <param name="outputSize">Out features, N.</param>
    /// <param name="hasBias">Whether to add a bias, which begins as zeros.</param>
    /// <param name="device">Where; default: the CPU.</param>
    /// <param name="dtype">The type of the latent weights and the bias; default: float32.</param>
    /// <param name="config">How to quantize; default: <see cref="BitQuantConfig.Default"/>.</param>
    /// <param name="initMethod">How the weights begin.</param>
    /// <param name="subLN">Whether to normalize the input by an <see cref="RMSNorm"/> first (key
    /// <c>rms_norm.weight</c>).</param>
    /// <param name="subLNEps">The epsilon of that norm.</param>
    /// <exception cref="ArgumentException">A size is out of range.</exception>
    public BitLinear(
        long inputSize,
        long outputSize,
        bool hasBias = true,
        Device? device = null,
        ScalarType? dtype = null,
        BitQuantConfig? config = null,
        InitMethod initMethod = InitMethod.XavierUniform,
        bool subLN = false,
        double subLNEps = 1e-5)
        : base(nameof(BitLinear), [outputSize, inputSize], config, initMethod, device, dtype)
    {
        in_features = inputSize;
        out_features = outputSize;
        offset = hasBias ? nn.Parameter(zeros(outputSize, dtype, device)) : null;
        rms_norm = subLN ? new RMSNorm(inputSize, subLNEps, device, dtype) : null;
        RegisterComponents();
    }

    /// <summary>Creates a layer around the parameters of another: the same objects, with their device and type.</summary>
    internal BitLinear(Parameter weight, Parameter? bias, BitQuantConfig? config, bool subLN, double subLNEps = 1e-5)
        : base(nameof(BitLinear), (Parameter)weight.DetachFromDisposeScope(), config)
    {
        (out_features, in_features) = (weight.size(0), weight.size(1));
        offset = (Parameter?)bias?.DetachFromDisposeScope();
        rms_norm = subLN ? new RMSNorm(in_features, subLNEps, device: weight.device, dtype: weight.dtype) : null;
        rms_norm?.weight.DetachFromDisposeScope();
        RegisterComponents();
    }

    private BitLinear(PackedTernaryWeights weights, Tensor? bias, BitQuantConfig? config, double? subLNEps)
        : base(nameof(BitLinear), weights, config)
    {
        in_features = weights.Columns;
        out_features = weights.Rows;
        offset = bias is null ? null : nn.Parameter(bias.detach().clone());
        rms_norm = subLNEps is double eps ? new RMSNorm(in_features, eps) : null;
        RegisterComponents();
    }

    /// <summary>Creates a deployed layer, in eval mode on the CPU, without ever holding float weights.</summary>
    /// <param name="weights">(out_features, in_features); copied.</param>
    /// <param name="bias">(out_features), copied; null: none.</param>
    /// <param name="config">How to quantize the activations; default: <see cref="BitQuantConfig.Default"/>. The weights'
    /// granularity is that of <paramref name="weights"/>.</param>
    /// <param name="subLNEps">The epsilon of an <see cref="RMSNorm"/> of the input, whose weights begin as ones; null: no
    /// norm.</param>
    /// <returns>The layer.</returns>
    /// <exception cref="ArgumentException">The bias has another shape.</exception>
    /// <exception cref="ObjectDisposedException">The weights are disposed.</exception>
    public static BitLinear FromPacked(
        PackedTernaryWeights weights, Tensor? bias = null, BitQuantConfig? config = null, double? subLNEps = null)
    {
        ArgumentNullException.ThrowIfNull(weights);
        if (bias is not null && !bias.shape.SequenceEqual([weights.Rows]))
        {
            throw new ArgumentException(
                $"Expected a bias of ({weights.Rows}), got ({string.Join(", ", bias.shape)}).", nameof(bias));
        }
        return new BitLinear(weights, bias, config, subLNEps);
    }

    /// <summary>K, the size of the input's last dimension.</summary>
    public long in_features { get; }

    /// <summary>N, the size of the output's last dimension.</summary>
    public long out_features { get; }

    /// <summary>(out_features), or null.</summary>
    public Parameter? bias
    {
        get => offset;
        private set
        {
            offset?.Dispose();
            offset = value;
            ConditionallyRegisterParameter(nameof(bias), value);
        }
    }

    /// <summary>Whether the input is normalized first.</summary>
    public bool HasSubLN => rms_norm is not null;

    internal RMSNorm? Norm => rms_norm;

    /// <inheritdoc/>
    internal override Parameter? Bias => offset;

    /// <inheritdoc/>
    internal override void Rebind(Parameter? weight, Parameter? bias)
    {
        offset = bias;
        ConditionallyRegisterParameter(nameof(this.bias), bias);
        Rebind(weight);
    }

    /// <summary>Multiplies.</summary>
    /// <param name="input">(*, in_features), float32, float16, bfloat16 or float64, on the layer's device; any rank from 1,
    /// any strides, empty allowed.</param>
    /// <returns>(*, out_features), of the input's type.</returns>
    /// <exception cref="ArgumentException">The last dimension is not in_features, or the type is not a float.</exception>
    /// <exception cref="QuantizationException">In eval mode, a latent weight is NaN or infinite.</exception>
    public override Tensor forward(Tensor input)
    {
        ArgumentNullException.ThrowIfNull(input);
        if (input.ndim < 1 || input.size(-1) != in_features)
        {
            throw new ArgumentException(
                $"Expected (*, {in_features}), got ({string.Join(", ", input.shape)}).", nameof(input));
        }
        if (input.dtype != ScalarType.Float32 && !input.is_floating_point())
            throw new ArgumentException($"Expected floats, got {input.dtype}.", nameof(input));

        if (input.device_type == DeviceType.CPU && !WantsGradient(input))
            return rms_norm is null ? MultiplyPacked(input, offset) : MultiplyNormalized(input);
        using DisposeScope scope = NewDisposeScope();
        Tensor x = DequantizedActivations(rms_norm is null ? input : rms_norm.call(input));
        return nn.functional.linear(x, DequantizedWeights(like: x), offset?.to(x.dtype)).MoveToOuterDisposeScope();
    }

    private Tensor MultiplyNormalized(Tensor input)
    {
        using (no_grad())
        {
            using Tensor normalized = rms_norm!.call(input);
            return MultiplyPacked(normalized, offset);
        }
    }
}
