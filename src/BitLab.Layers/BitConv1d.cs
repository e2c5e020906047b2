using BitLab.Core;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>A convolution of one dimension with ternary weights, for <c>nn.Conv1d</c>.</summary>
/// <remarks>See <see cref="BitConvBase"/>.</remarks>
public sealed class BitConv1d : BitConvBase
{
    /// <summary>Creates the layer, with the parameters of <c>nn.Conv1d</c> and some more.</summary>
    /// <param name="inputChannels">Channels of the input.</param>
    /// <param name="outputChannels">Channels of the output.</param>
    /// <param name="kernelSize">Values that an output looks at, in each channel.</param>
    /// <param name="stride">From one output to the next.</param>
    /// <param name="padding">What is added at both ends.</param>
    /// <param name="dilation">From one value that an output looks at to the next.</param>
    /// <param name="paddingMode">What is added: zeros, or values of the input.</param>
    /// <param name="groups">Into how many parts the channels are divided.</param>
    /// <param name="hasBias">Whether to add a bias, which begins as zeros.</param>
    /// <param name="device">Where; default: the CPU.</param>
    /// <param name="dtype">The type of the latent weights and the bias; default: float32.</param>
    /// <param name="config">How to quantize; default: <see cref="BitQuantConfig.Default"/>.</param>
    /// <param name="initMethod">How the weights begin.</param>
    /// <exception cref="ArgumentException">A size is out of range.</exception>
    public BitConv1d(
        long inputChannels,
        long outputChannels,
        long kernelSize,
        long stride = 1,
        long padding = 0,
        long dilation = 1,
        PaddingModes paddingMode = PaddingModes.Zeros,
        long groups = 1,
        bool hasBias = true,
        Device? device = null,
        ScalarType? dtype = null,
        BitQuantConfig? config = null,
        InitMethod initMethod = InitMethod.XavierUniform)
        : base(
            nameof(BitConv1d), inputChannels, outputChannels, [kernelSize], [stride], [padding], null, [dilation], paddingMode,
            groups, hasBias, device, dtype, config, initMethod)
    {
        RegisterComponents();
    }

    /// <summary>Creates the layer with padding by its purpose.</summary>
    /// <param name="inputChannels">Channels of the input.</param>
    /// <param name="outputChannels">Channels of the output.</param>
    /// <param name="kernelSize">Values that an output looks at, in each channel.</param>
    /// <param name="padding"><c>Valid</c>: none; <c>Same</c>: what keeps the size, which needs a stride of 1.</param>
    /// <param name="stride">From one output to the next.</param>
    /// <param name="dilation">From one value that an output looks at to the next.</param>
    /// <param name="paddingMode">What is added: zeros, or values of the input.</param>
    /// <param name="groups">Into how many parts the channels are divided.</param>
    /// <param name="hasBias">Whether to add a bias, which begins as zeros.</param>
    /// <param name="device">Where; default: the CPU.</param>
    /// <param name="dtype">The type of the latent weights and the bias; default: float32.</param>
    /// <param name="config">How to quantize; default: <see cref="BitQuantConfig.Default"/>.</param>
    /// <param name="initMethod">How the weights begin.</param>
    /// <exception cref="ArgumentException">A size is out of range.</exception>
    public BitConv1d(
        long inputChannels,
        long outputChannels,
        long kernelSize,
        Padding padding,
        long stride = 1,
        long dilation = 1,
        PaddingModes paddingMode = PaddingModes.Zeros,
        long groups = 1,
        bool hasBias = true,
        Device? device = null,
        ScalarType? dtype = null,
        BitQuantConfig? config = null,
        InitMethod initMethod = InitMethod.XavierUniform)
        : base(
            nameof(BitConv1d), inputChannels, outputChannels, [kernelSize], [stride], null, padding, [dilation], paddingMode,
            groups, hasBias, device, dtype, config, initMethod)
    {
        RegisterComponents();
    }

    /// <summary>Creates a layer of another's shape around parameters: the same objects, with their device and type.</summary>
    internal BitConv1d(Conv1d former, Parameter weight, Parameter? bias, BitQuantConfig? config)
        : base(nameof(BitConv1d), former, weight, bias, config)
    {
        RegisterComponents();
    }

    private protected override Tensor Convolve(
        Tensor input, Tensor weight, Tensor? bias, long[] stride, long[] padding, long[] dilation, long groups) =>
        nn.functional.conv1d(input, weight, bias, stride[0], padding[0], dilation[0], groups);
}
