using BitLab.Core;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>What the convolutions share: y = quantize(x) ∗ ternary(W) + b.</summary>
/// <remarks>
/// <para>In train mode, inputs and weights are fake-quantized with a straight-through gradient and convolved by LibTorch, on
/// any device. In eval mode on the CPU, the packed weights are multiplied by the rows of im2col, a few at a time, by a kernel
/// of <see cref="KernelRegistry"/>. Gradients are those of <see cref="BitLinear"/>.</para>
/// <para>What a config calls a token is here an image of the batch (C, ...): with <see cref="Granularity.PerToken"/> each
/// has its own range, taken over all its channels and positions. A range for each output position would quantize the same
/// input value differently for every output that looks at it, so that no float convolution could train it. Padding changes
/// no range: zeros are zeros, and the other modes repeat values.</para>
/// </remarks>
public abstract unsafe class BitConvBase : BitLayerBase
{
    private readonly long[] kernelSize;
    private readonly long[] strides;
    private readonly long[] dilations;
    private readonly long[]? paddings;

    // What is added before the first and behind the last position.
    private readonly long[] before;
    private readonly long[] behind;

    [ComponentName(Name = nameof(bias))]
    private Parameter? offset;

    private protected BitConvBase(
        string name,
        long inputChannels,
        long outputChannels,
        long[] kernelSize,
        long[] stride,
        long[]? padding,
        Padding? paddingType,
        long[] dilation,
        PaddingModes paddingMode,
        long groups,
        bool hasBias,
        Device? device,
        ScalarType? dtype,
        BitQuantConfig? config,
        InitMethod initMethod)
        : this(
            name, NewWeights(ShapeFor(inputChannels, outputChannels, kernelSize, groups), initMethod, device, dtype),
            stride, padding, paddingType, dilation, paddingMode, groups, config)
    {
        if (!hasBias)
            return;
        offset = nn.Parameter(zeros(outputChannels, dtype, device));
        register_parameter(nameof(bias), offset);
    }

    /// <summary>Creates a layer of another's shape around parameters: the same objects, with their device and type.</summary>
    private protected BitConvBase(string name, Convolution former, Parameter weight, Parameter? bias, BitQuantConfig? config)
        : this(
            name, (Parameter)weight.DetachFromDisposeScope(), former.stride, former.padding, former.padding_type,
            former.dilation, former.padding_mode, former.groups, config)
    {
        if (bias is null)
            return;
        offset = (Parameter)bias.DetachFromDisposeScope();
        register_parameter(nameof(bias), offset);
    }

    private BitConvBase(
        string name,
        Parameter weight,
        long[] stride,
        long[]? padding,
        Padding? paddingType,
        long[] dilation,
        PaddingModes paddingMode,
        long groups,
        BitQuantConfig? config)
        : base(name, weight, config)
    {
        long[] shape = weight.shape, kernelSize = shape[2..];
        CheckSizes(nameof(stride), stride, atLeast: 1);
        CheckSizes(nameof(dilation), dilation, atLeast: 1);
        if (padding is not null)
            CheckSizes(nameof(padding), padding, atLeast: 0);
        if (paddingMode is < PaddingModes.Zeros or > PaddingModes.Circular)
        {
            throw new ArgumentException(
                $"The padding is Zeros, Reflect, Replicate or Circular, not {paddingMode}.", nameof(paddingMode));
        }
        if (paddingType == Padding.Same && stride.Any(size => size != 1))
            throw new ArgumentException($"Padding.Same needs a stride of 1, not ({string.Join(", ", stride)}).", nameof(stride));
        (in_channels, out_channels, this.groups) = (shape[1] * groups, shape[0], groups);
        (this.kernelSize, strides, paddings, dilations) = (kernelSize, stride, padding, dilation);
        (padding_type, padding_mode) = (paddingType, paddingMode);
        before = padding ?? new long[kernelSize.Length];
        behind = before;
        if (paddingType == Padding.Same)
        {
            // An odd one is added behind, as LibTorch does.
            before = [.. kernelSize.Select((size, i) => dilation[i] * (size - 1) / 2)];
            behind = [.. kernelSize.Select((size, i) => (dilation[i] * (size - 1)) - before[i])];
        }
        LayerName = $"{name}({in_channels}, {out_channels}, {string.Join("x", kernelSize)})";
    }

    /// <summary>Channels of the input.</summary>
    public long in_channels { get; }

    /// <summary>Channels of the output.</summary>
    public long out_channels { get; }

    /// <summary>Into how many parts the channels are divided, each a convolution of its own.</summary>
    public long groups { get; }

    /// <summary>The size of the kernel, a number a dimension.</summary>
    public IReadOnlyList<long> kernel_size => kernelSize;

    /// <summary>From one output to the next, in positions of the input.</summary>
    public IReadOnlyList<long> stride => strides;

    /// <summary>From one value that an output looks at to the next, in positions of the input.</summary>
    public IReadOnlyList<long> dilation => dilations;

    /// <summary>What is added at both ends, or null where <see cref="padding_type"/> says it.</summary>
    public IReadOnlyList<long>? padding => paddings;

    /// <summary><c>Valid</c>: nothing; <c>Same</c>: as much as keeps the size; or null.</summary>
    public Padding? padding_type { get; }

    /// <summary>What is added.</summary>
    public PaddingModes padding_mode { get; }

    /// <summary>(out_channels), or null.</summary>
    public Parameter? bias
    {
        get => offset;
        private protected set
        {
            offset?.Dispose();
            offset = value;
            ConditionallyRegisterParameter(nameof(bias), value);
        }
    }

    /// <inheritdoc/>
    internal override Parameter? Bias => offset;

    /// <summary>(in_channels, size...): the smallest that there is an output for, padded or not.</summary>
    internal long[] SmallestInput =>
        [in_channels, .. kernelSize.Select((size, i) => Math.Max((dilations[i] * (size - 1)) + 1, Math.Max(before[i], behind[i]) + 1))];

    /// <inheritdoc/>
    internal override void Rebind(Parameter? weight, Parameter? bias)
    {
        offset = bias;
        ConditionallyRegisterParameter(nameof(this.bias), bias);
        Rebind(weight);
    }

    /// <summary>Convolves.</summary>
    /// <param name="input">(batch, in_channels, size...) or (in_channels, size...), float32, float16, bfloat16 or float64, on
    /// the layer's device; any strides, an empty batch allowed.</param>
    /// <returns>(batch, out_channels, size...) or (out_channels, size...), of the input's type.</returns>
    /// <exception cref="ArgumentException">The input has another rank or number of channels, is smaller than what an output
    /// looks at, or is not of floats.</exception>
    /// <exception cref="QuantizationException">In eval mode, a latent weight is NaN or infinite.</exception>
    public override Tensor forward(Tensor input)
    {
        ArgumentNullException.ThrowIfNull(input);
        long[] shape = input.shape;
        long[] outputSize = OutputSize(shape);
        if (!input.is_floating_point())
            throw new ArgumentException($"Expected floats, got {input.dtype}.", nameof(input));

        using DisposeScope scope = NewDisposeScope();
        bool isBatched = shape.Length == kernelSize.Length + 2;
        Tensor batch = isBatched ? input : input.unsqueeze(0);
        Tensor y = input.device_type == DeviceType.CPU && !WantsGradient(input)
            ? ConvolvePacked(batch, outputSize)
            : ConvolveFloats(batch);
        return (isBatched ? y : y.squeeze(0)).MoveToOuterDisposeScope();
    }

    /// <summary>LibTorch's convolution.</summary>
    private protected abstract Tensor Convolve(
        Tensor input, Tensor weight, Tensor? bias, long[] stride, long[] padding, long[] dilation, long groups);

    private Tensor ConvolveFloats(Tensor input)
    {
        // What shares a range is a row.
        Tensor x = DequantizedActivations(input.flatten(1)).reshape(input.shape);
        bool isPlain = padding_mode == PaddingModes.Zeros && before.SequenceEqual(behind);
        if (!isPlain)
            x = Pad(x);
        long[] padding = isPlain ? before : [.. before.Select(_ => 0L)];
        return Convolve(x, DequantizedWeights(like: x), offset?.to(x.dtype), strides, padding, dilations, groups);
    }

    private Tensor ConvolvePacked(Tensor input, long[] outputSize)
    {
        using IDisposable noGradients = no_grad();
        Tensor x = input.detach().to(ScalarType.Float32);
        bool hasZeros = padding_mode == PaddingModes.Zeros;
        x = (hasZeros ? x : Pad(x)).contiguous();
        Tensor? floatBias = offset?.detach().to(ScalarType.Float32).contiguous();
        Tensor y = empty([x.size(0), out_channels, .. outputSize], ScalarType.Float32);
        if (y.numel() > 0)
        {
            var shape = new ConvShape
            {
                Images = checked((int)x.size(0)),
                Channels = (int)in_channels,
                Groups = (int)groups,
                Input = Sizes(x.shape[2..], 1),
                Kernel = Sizes(kernelSize, 1),
                Stride = Sizes(strides, 1),
                Dilation = Sizes(dilations, 1),
                Padding = hasZeros ? Sizes(before, 0) : default,
                Output = Sizes(outputSize, 1),
            };
            using PackedTernaryWeights.Lease lease = RentPacked();
            TernaryConv.Forward(
                lease.Weights,
                QuantConfig,
                KernelRegistry.GetKernelForConfig(QuantConfig),
                (float*)TensorMemory.Pointer(x),
                shape,
                floatBias is null ? null : (float*)TensorMemory.Pointer(floatBias),
                (float*)TensorMemory.Pointer(y));
        }
        return y.to(input.dtype);
    }

    // One dimension is the height, so that its outputs can be divided like rows.
    private static ConvShape.Sizes Sizes(long[] sizes, int missing) =>
        checked(new ConvShape.Sizes((int)sizes[0], sizes.Length > 1 ? (int)sizes[1] : missing));

    /// <summary>The input with what the layer adds around it.</summary>
    internal Tensor Pad(Tensor x)
    {
        // From the last dimension to the first.
        long[] pad = [.. Enumerable.Range(1, before.Length).SelectMany(i => new[] { before[^i], behind[^i] })];
        return padding_mode == PaddingModes.Zeros ? nn.functional.pad(x, pad) : nn.functional.pad(x, pad, padding_mode);
    }

    private long[] OutputSize(long[] shape)
    {
        int dimensions = kernelSize.Length, channelsAt = shape.Length - dimensions - 1;
        if (channelsAt is not (0 or 1) || shape[channelsAt] != in_channels)
        {
            string sizes = dimensions == 1 ? "length" : "height, width";
            throw new ArgumentException(
                $"Expected (batch, {in_channels}, {sizes}) or ({in_channels}, {sizes}), got ({string.Join(", ", shape)}).", "input");
        }
        long[] output = new long[dimensions];
        for (int i = 0; i < dimensions; i++)
        {
            long size = shape[channelsAt + 1 + i], reach = (dilations[i] * (kernelSize[i] - 1)) + 1;
            long room = size + before[i] + behind[i] - reach;
            // What is repeated must be there: a reflection leaves out the edge itself.
            long least = padding_mode switch
            {
                PaddingModes.Reflect => Math.Max(before[i], behind[i]) + 1,
                PaddingModes.Circular => Math.Max(before[i], behind[i]),
                _ => 1,
            };
            if (room < 0 || size < least)
            {
                throw new ArgumentException(
                    $"{LayerName} needs a size of at least {Math.Max(size - Math.Min(room, 0), least)} in dimension "
                    + $"{channelsAt + 1 + i}, got ({string.Join(", ", shape)}).", "input");
            }
            output[i] = (room / strides[i]) + 1;
        }
        return output;
    }

    private static long[] ShapeFor(long inputChannels, long outputChannels, long[] kernelSize, long groups)
    {
        CheckSizes(nameof(kernelSize), kernelSize, atLeast: 1);
        if (inputChannels < 1 || outputChannels < 1 || groups < 1 || inputChannels % groups != 0 || outputChannels % groups != 0)
        {
            throw new ArgumentException(
                $"Expected at least 1 group and channels that it divides, got {inputChannels} and {outputChannels} channels in "
                + $"{groups} groups.", nameof(groups));
        }
        return [outputChannels, inputChannels / groups, .. kernelSize];
    }

    private static void CheckSizes(string name, long[] sizes, long atLeast)
    {
        if (sizes.Any(size => size < atLeast || size > int.MaxValue))
            throw new ArgumentException($"Expected at least {atLeast}, got ({string.Join(", ", sizes)}).", name);
    }
}
