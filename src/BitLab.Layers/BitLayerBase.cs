using BitLab.Core;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>What all ternary layers share: latent float weights that train, a packed form that multiplies, and the one-way
/// step from the first to the second.</summary>
/// <remarks>
/// <para>A layer is in one of two states. <b>Latent</b>: it holds float weights; <c>eval()</c> packs them beside, and any
/// change of them by an operation of LibTorch, by <c>load</c> or by <c>load_state_dict</c> packs them anew before the next
/// forward. (Only bytes written through <c>weight.bytes</c> or <c>weight.data</c> go unseen, until <c>train()</c> and
/// <c>eval()</c> are called.) <b>Deployed</b>, after <see cref="Deploy"/>: it holds the packed weights alone.</para>
/// <para>The state dict holds <c>weight</c> in the first state, and in the second <c>packed_weight</c> (uint8, panels ×
/// steps × 128, docs/packed-layout.md) and <c>weight_scale</c> (float32, 1 or out).</para>
/// </remarks>
public abstract unsafe class BitLayerBase : nn.Module<Tensor, Tensor>
{
    internal const string WeightKey = nameof(weight);
    internal const string PackedKey = nameof(packed_weight);
    internal const string ScaleKey = nameof(weight_scale);

    private readonly Lock gate = new();
    private readonly int rows;
    private readonly int columns;
    private readonly long[] weightShape;

    // (out, kernel..., in): what a convolution looks at lies together once the channels of a pixel do.
    private readonly long[] packedShape;

    // TorchSharp finds fields by reflection and registers them by these names. Its .to() replaces a tensor through the
    // property of that name, or else through the field.
    [ComponentName(Name = WeightKey)]
    private Parameter? latent;

    private Tensor? packed_weight;
    private Tensor? weight_scale;

    // The packed weights of a moment, or null. Read and replaced under the gate.
    private PackedTernaryWeights? packed;
    private Moment packedAt;

    // A bias that was found to be plain; what it is does not change.
    private Tensor? plainBias;
    private volatile bool mayHaveChanged;

    /// <summary>Creates a latent layer. The deriving constructor calls <c>RegisterComponents()</c>.</summary>
    /// <param name="name">The class's name.</param>
    /// <param name="weightShape">(out, *): the shape of the weights.</param>
    /// <param name="config">How to quantize; null: <see cref="BitQuantConfig.Default"/>.</param>
    /// <param name="initMethod">How the weights begin.</param>
    /// <param name="device">Where; default: the CPU.</param>
    /// <param name="dtype">The latent weights' type; default: float32.</param>
    /// <exception cref="ArgumentException">The shape is not one that can be packed.</exception>
    protected BitLayerBase(
        string name, long[] weightShape, BitQuantConfig? config, InitMethod initMethod, Device? device, ScalarType? dtype)
        : this(name, NewWeights(weightShape, initMethod, device, dtype), config)
    {
    }

    /// <summary>Creates a latent layer around weights that exist. The deriving constructor calls
    /// <c>RegisterComponents()</c>.</summary>
    /// <param name="name">The class's name.</param>
    /// <param name="weight">(out, *): this object becomes the layer's, with its device and type.</param>
    /// <param name="config">How to quantize; null: <see cref="BitQuantConfig.Default"/>.</param>
    /// <exception cref="ArgumentException">The shape is not one that can be packed.</exception>
    internal BitLayerBase(string name, Parameter weight, BitQuantConfig? config)
        : this(name, weight.shape, config)
    {
        latent = weight;
        // Where TorchSharp believes the module to be: a move to there is skipped.
        (_deviceType, _deviceIndex) = (weight.device_type, weight.device_index);
        // First, so that it is the first key, as in nn.Linear.
        register_parameter(WeightKey, latent);
    }

    /// <summary>Creates a deployed layer on the CPU, whose granularity is that of its weights. The deriving constructor calls
    /// <c>RegisterComponents()</c>.</summary>
    /// <param name="name">The class's name.</param>
    /// <param name="weights">(out, in); copied.</param>
    /// <param name="config">How to quantize; null: <see cref="BitQuantConfig.Default"/>.</param>
    /// <exception cref="ObjectDisposedException">The weights are disposed.</exception>
    private protected BitLayerBase(string name, PackedTernaryWeights weights, BitQuantConfig? config)
        : this(
            name,
            [weights.Rows, weights.Columns],
            (config ?? BitQuantConfig.Default) with { WeightGranularity = weights.Granularity })
    {
        using PackedTernaryWeights.Lease lease = weights.Rent();
        BecomeDeployed(weights);
    }

    private BitLayerBase(string name, long[] weightShape, BitQuantConfig? config)
        : base(name)
    {
        this.weightShape = weightShape;
        if (WhyUnpackable(weightShape) is string why)
            throw new ArgumentException(why);
        packedShape = weightShape.Length > 2 ? [weightShape[0], .. weightShape[2..], weightShape[1]] : weightShape;
        (rows, columns) = ((int)weightShape[0], (int)weightShape[1..].Aggregate(1L, (product, size) => product * size));
        QuantConfig = config ?? BitQuantConfig.Default;
        LayerName = $"{name}({columns}, {rows})";
    }

    /// <summary>Called when the layer has become deployed, or its packed weights others, with the layer.</summary>
    internal Action? Redeployed { get; set; }

    /// <summary>How the layer quantizes.</summary>
    public BitQuantConfig QuantConfig { get; }

    /// <summary>How far train mode quantizes: 0 not at all, 1 (the default) fully, between them w + lambda · (quantized - w),
    /// for weights and activations alike. Eval mode and deployed layers always quantize fully.</summary>
    /// <remarks>Raised from 0 to 1 over the first steps, it lets a trained float model become ternary
    /// (<see cref="LambdaSchedule"/>).</remarks>
    /// <exception cref="ArgumentOutOfRangeException">The value is not in 0 to 1.</exception>
    public float Lambda
    {
        get;
        set => field = StraightThrough.CheckLambda(value);
    }
    = 1;

    /// <summary>What errors call this layer: its class and size, or its path once a model has set it.</summary>
    public string LayerName { get; set; }

    /// <summary>The latent float weights, (out, *); null once deployed.</summary>
    public Parameter? weight
    {
        get => latent;
        private protected set
        {
            latent?.Dispose();
            latent = value;
            ConditionallyRegisterParameter(WeightKey, value);
        }
    }

    /// <summary>Whether the layer holds packed weights alone.</summary>
    public bool IsDeployed => packed_weight is not null;

    /// <summary>The ternary weights of this moment, (out, *) int8 in {-1, 0, 1}: a new tensor on the CPU, the
    /// caller's.</summary>
    /// <exception cref="QuantizationException">A latent weight is NaN or infinite.</exception>
    public Tensor QWeight
    {
        get
        {
            using DisposeScope scope = NewDisposeScope();
            using PackedTernaryWeights.Lease lease = RentPacked();
            Tensor trits = empty(packedShape, ScalarType.Int8);
            lease.Weights.Unpack(new Span<sbyte>(TensorMemory.Pointer(trits), rows * columns));
            return FromPackedOrder(trits).contiguous().MoveToOuterDisposeScope();
        }
    }

    /// <summary>The scale of the ternary weights of this moment, (1) or (out) float32: a new tensor on the CPU, the
    /// caller's.</summary>
    /// <exception cref="QuantizationException">A latent weight is NaN or infinite.</exception>
    public Tensor QWeightScale
    {
        get
        {
            using PackedTernaryWeights.Lease lease = RentPacked();
            return tensor(lease.Weights.RentedScales.ToArray());
        }
    }

    /// <summary>The bytes that the packed weights and their scales take, padding included.</summary>
    public long PackedBytes => PackedTernaryWeights.PackedSize(rows, columns, Packing) + ScaleBytes;

    /// <summary>How the ternary weights are held: as <see cref="Deploy"/> was told, <see cref="WeightPacking.TwoBit"/> before
    /// that.</summary>
    public WeightPacking Packing =>
        packed_weight is not null && packed_weight.size(2) == PanelLayout.DenseBytes ? WeightPacking.Dense : WeightPacking.TwoBit;

    internal long ScaleBytes => sizeof(float) * (long)PackedTernaryWeights.CountScales(rows, QuantConfig.WeightGranularity);

    /// <summary>What <see cref="PackedBytes"/> will be for weights of this shape, at 2 bits each.</summary>
    internal static long DeployedBytes(long[] weightShape, BitQuantConfig config)
    {
        (int rows, int columns) = ((int)weightShape[0], (int)weightShape[1..].Aggregate(1L, (product, size) => product * size));
        return PackedTernaryWeights.PackedSize(rows, columns, WeightPacking.TwoBit)
            + (sizeof(float) * (long)PackedTernaryWeights.CountScales(rows, config.WeightGranularity));
    }

    /// <summary>Trits in the weights, without padding.</summary>
    internal long TritCount => (long)rows * columns;

    /// <summary>The bytes held beside parameters and buffers: those of eval mode's packed weights.</summary>
    internal long CacheBytes
    {
        get
        {
            lock (gate)
            {
                return IsDeployed || packed is null ? 0 : packed.ByteCount;
            }
        }
    }

    /// <summary>Keeps the packed weights and frees the latent ones for good. The layer is in eval mode afterwards. Harmless
    /// when repeated.</summary>
    /// <param name="packing">How the trits are held from now on; null: at 2 bits, or as they are where the layer is deployed
    /// already.</param>
    /// <exception cref="QuantizationException">A latent weight is NaN or infinite; the layer is as before.</exception>
    /// <exception cref="InvalidOperationException">The weights are on the meta device and have no values.</exception>
    public void Deploy(WeightPacking? packing = null)
    {
        if (IsDeployed && (packing is null || packing == Packing))
            return;
        Tensor held = latent ?? packed_weight!;
        if (held.device_type == DeviceType.META)
            throw new InvalidOperationException($"{LayerName} is on the meta device: there are no weights to deploy.");
        Device device = held.device;
        using (PackedTernaryWeights.Lease lease = RentPacked())
        {
            WeightPacking wanted = packing ?? WeightPacking.TwoBit;
            using PackedTernaryWeights? repacked = lease.Weights.Packing == wanted ? null : lease.Weights.Repack(wanted);
            BecomeDeployed(repacked ?? lease.Weights);
        }
        if (device.type != DeviceType.CPU)
            _to(device.type, device.index, non_blocking: false);
    }

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">The layer is deployed and has nothing left to train.</exception>
    /// <exception cref="QuantizationException">In eval mode, a latent weight is NaN or infinite.</exception>
    public override void train(bool train = true)
    {
        if (train && IsDeployed)
            throw new InvalidOperationException($"{LayerName} is deployed: its float weights are freed, so it cannot train again.");
        base.train(train);
        if (train)
            DropPacked();
        else if (!IsDeployed && latent!.device_type == DeviceType.CPU)
            RentPacked().Dispose();
    }

    /// <inheritdoc/>
    public override IEnumerable<(string name, Parameter parameter)> named_parameters(bool recurse = true)
    {
        // Who holds the tensors may write to their memory, as TorchSharp's own load() does. It takes a state dict first, and
        // every state dict comes by here; that of a Sequential comes by nothing else.
        mayHaveChanged = true;
        return base.named_parameters(recurse);
    }

    /// <summary>Copies a state dict into this layer. One of a deployed layer makes this layer deployed.</summary>
    /// <param name="source">Tensors by key.</param>
    /// <param name="strict">Whether missing and unexpected keys are an error.</param>
    /// <param name="skip">Keys to leave out.</param>
    /// <returns>The keys that are missing and unexpected.</returns>
    /// <exception cref="ArgumentException">A packed tensor has not the type or shape of this layer's.</exception>
    /// <exception cref="InvalidOperationException">The keys do not fit, or the layer is deployed and the state dict
    /// latent.</exception>
    public override (IList<string> missing_keys, IList<string> unexpected_keyes) load_state_dict(
        Dictionary<string, Tensor> source, bool strict = true, IList<string>? skip = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        PrepareToLoad(source, prefix: "");
        return base.load_state_dict(source, strict, skip);
    }

    /// <summary>Why weights of this shape cannot be packed, or null.</summary>
    internal static string? WhyUnpackable(long[] weightShape)
    {
        long rowSize = weightShape.Skip(1).Aggregate(1L, (product, size) => product * size);
        return weightShape.Any(size => size < 1) || weightShape[0] > int.MaxValue || rowSize > PackedTernaryWeights.MaxColumns
            || weightShape[0] * rowSize > int.MaxValue
            ? $"Expected weights of at least 1 output and 1 to {PackedTernaryWeights.MaxColumns} inputs, at most {int.MaxValue} "
                + $"together, got ({string.Join(", ", weightShape)})."
            : null;
    }

    /// <summary>What is added to the products, or null.</summary>
    internal virtual Parameter? Bias => null;

    /// <summary>(out, *), deployed or not.</summary>
    internal IReadOnlyList<long> WeightShape => weightShape;

    /// <summary>Makes other objects the parameters, or none. The former ones are not disposed.</summary>
    internal virtual void Rebind(Parameter? weight, Parameter? bias) => Rebind(weight);

    /// <summary>Makes another object the latent weights, or none. The former one is not disposed.</summary>
    private protected void Rebind(Parameter? weight)
    {
        lock (gate)
        {
            latent = weight;
            ConditionallyRegisterParameter(WeightKey, weight);
            DropPacked();
        }
    }

    /// <summary>The weights may have been written to in a way that nothing counts.</summary>
    internal void MayHaveChanged() => mayHaveChanged = true;

    /// <summary>The buffers of a deployed layer, by key.</summary>
    internal (string Key, Tensor Value)[] DeployedBuffers =>
        packed_weight is null ? [] : [(PackedKey, packed_weight), (ScaleKey, weight_scale!)];

    /// <summary>Brings the layer into the state that a state dict was taken in, before its values are copied.</summary>
    internal void PrepareToLoad(IReadOnlyDictionary<string, Tensor> source, string prefix)
    {
        if (PackingToLoad(source, prefix) is not WeightPacking packing || (IsDeployed && packing == Packing))
            return;
        Device device = (latent ?? packed_weight!).device;
        BecomeDeployed(EmptyTrits(packing, device).zero_(), zeros(ScaleShape, ScalarType.Float32, device));
    }

    /// <summary>How a state dict has this layer's weights packed, or null where it has none packed; an error where they are not
    /// this layer's. Changes nothing.</summary>
    internal WeightPacking? PackingToLoad(IReadOnlyDictionary<string, Tensor> source, string prefix)
    {
        if (source.TryGetValue(prefix + PackedKey, out Tensor? trits))
        {
            WeightPacking packing = trits.ndim == 3 && trits.size(2) == PanelLayout.DenseBytes ? WeightPacking.Dense : WeightPacking.TwoBit;
            Check(prefix + PackedKey, trits, PanelLayout.Shape(rows, columns, packing), ScalarType.Byte);
            if (!source.TryGetValue(prefix + ScaleKey, out Tensor? scales))
                throw new ArgumentException($"The state dict has '{prefix + PackedKey}' but no '{prefix + ScaleKey}'.", nameof(source));
            Check(prefix + ScaleKey, scales, ScaleShape, ScalarType.Float32);
            return packing;
        }
        if (IsDeployed && source.ContainsKey(prefix + WeightKey))
        {
            throw new InvalidOperationException(
                $"{LayerName} is deployed and cannot load latent weights; load them into a new layer.");
        }
        return null;

        static void Check(string key, Tensor value, long[] shape, ScalarType dtype)
        {
            if (value.dtype != dtype || !value.shape.SequenceEqual(shape))
            {
                throw new ArgumentException(
                    $"'{key}' is {value.dtype} ({string.Join(", ", value.shape)}); this layer needs {dtype} ({string.Join(", ", shape)}).");
            }
        }
    }

    /// <summary>Whether this forward has to be differentiable: training, or a gradient asked of the input.</summary>
    /// <param name="input">The layer's input.</param>
    /// <returns>Whether.</returns>
    protected bool WantsGradient(Tensor input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return training || (input.requires_grad && is_grad_enabled());
    }

    /// <summary>Activations as the layer multiplies them by floats: fake-quantized with a straight-through gradient.</summary>
    /// <param name="input">(*, features), of any float type, on any device.</param>
    /// <returns>The same shape and type.</returns>
    protected Tensor DequantizedActivations(Tensor input) => StraightThrough.Activations(input, QuantConfig, LambdaNow);

    /// <summary>The weights as floats, as the packed form holds them: fake-quantized with a straight-through gradient from the
    /// latent weights, or unpacked once deployed. In train mode, as far on the way there as <see cref="Lambda"/> says.</summary>
    /// <param name="like">Its type and device are the result's.</param>
    /// <returns>(out, *).</returns>
    protected Tensor DequantizedWeights(Tensor like)
    {
        ArgumentNullException.ThrowIfNull(like);
        using DisposeScope scope = NewDisposeScope();
        if (!IsDeployed)
            return StraightThrough.Weights(latent!, QuantConfig, LambdaNow, isMultiplied: true).to(like.dtype).MoveToOuterDisposeScope();
        using PackedTernaryWeights.Lease lease = RentPacked();
        Tensor weights = empty(packedShape);
        lease.Weights.Unpack(new Span<float>(TensorMemory.Pointer(weights), rows * columns));
        return FromPackedOrder(weights).to(like.dtype, like.device).MoveToOuterDisposeScope();
    }

    /// <summary>Multiplies rows by the packed weights, on the CPU.</summary>
    /// <param name="input">(*, columns), of any float type, on the CPU.</param>
    /// <param name="bias">(out) on the CPU, or null.</param>
    /// <returns>(*, out), of the input's type, without a gradient.</returns>
    protected Tensor MultiplyPacked(Tensor input, Tensor? bias)
    {
        ArgumentNullException.ThrowIfNull(input);
        if (input.dtype == ScalarType.Float32 && input.is_contiguous() && IsPlain(bias))
            return MultiplyPlain(input, bias);
        using DisposeScope scope = NewDisposeScope();
        using (no_grad())
        {
            Tensor plain = input.detach().to(ScalarType.Float32).contiguous();
            Tensor? floatBias = bias?.detach().to(ScalarType.Float32).contiguous();
            return MultiplyPlain(plain, floatBias).to(input.dtype).MoveToOuterDisposeScope();
        }
    }

    /// <inheritdoc/>
    protected override nn.Module _to(ScalarType dtype, bool non_blocking) =>
        KeepingScalesPrecise(() => base._to(dtype, non_blocking));

    /// <inheritdoc/>
    protected override nn.Module _to(Device device, ScalarType dtype, bool non_blocking) =>
        KeepingScalesPrecise(() => base._to(device, dtype, non_blocking));

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
            DropPacked();
        base.Dispose(disposing);
    }

    private bool IsPlain(Tensor? bias)
    {
        if (bias is null || ReferenceEquals(bias, plainBias))
            return true;
        if (bias.dtype != ScalarType.Float32 || bias.device_type != DeviceType.CPU || !bias.is_contiguous())
            return false;
        plainBias = bias;
        return true;
    }

    private protected static Parameter NewWeights(long[] weightShape, InitMethod initMethod, Device? device, ScalarType? dtype)
    {
        ArgumentNullException.ThrowIfNull(weightShape);
        if (WhyUnpackable(weightShape) is string why)
            throw new ArgumentException(why);
        Parameter weight = nn.Parameter(empty(weightShape, dtype, device));
        using (no_grad())
            Initialization.Fill(weight, initMethod);
        return weight;
    }

    private static void Copy(byte* source, byte* target, long byteCount) =>
        Buffer.MemoryCopy(source, target, byteCount, byteCount);

    private float LambdaNow => training ? Lambda : 1;

    private long[] ScaleShape => [PackedTernaryWeights.CountScales(rows, QuantConfig.WeightGranularity)];

    private Tensor EmptyTrits(WeightPacking packing, Device device)
    {
        Tensor trits = empty(PanelLayout.Shape(rows, columns, packing), ScalarType.Byte, device);
        if (trits.device_type == DeviceType.CPU)
            HugePages.Advise(TensorMemory.Pointer(trits), trits.numel());
        return trits;
    }

    private Tensor MultiplyPlain(Tensor input, Tensor? bias)
    {
        // The common ranks without an array for the shape.
        Tensor output = input.ndim switch
        {
            1 => empty(rows, ScalarType.Float32),
            2 => empty(input.size(0), rows, ScalarType.Float32),
            3 => empty(input.size(0), input.size(1), rows, ScalarType.Float32),
            _ => empty([.. input.shape[..^1], rows], ScalarType.Float32),
        };
        int tokens = checked((int)(input.numel() / columns));
        if (tokens > 0)
        {
            using PackedTernaryWeights.Lease lease = RentPacked();
            TernaryLinear.Forward(
                lease.Weights,
                QuantConfig,
                KernelRegistry.GetKernelForConfig(QuantConfig),
                (float*)TensorMemory.Pointer(input),
                tokens,
                bias is null ? null : (float*)TensorMemory.Pointer(bias),
                (float*)TensorMemory.Pointer(output));
        }
        return output;
    }

    /// <summary>The packed weights of this moment, copied for the caller, who disposes them.</summary>
    internal PackedTernaryWeights CopyPacked()
    {
        using PackedTernaryWeights.Lease lease = RentPacked();
        return lease.Weights.Repack(lease.Weights.Packing);
    }

    /// <summary>The packed weights of this moment, which are not freed before the lease is disposed.</summary>
    private protected PackedTernaryWeights.Lease RentPacked()
    {
        lock (gate)
        {
            Tensor values = packed_weight ?? latent!;
            if (packed is null || mayHaveChanged || !packedAt.Lasts(values, weight_scale))
            {
                mayHaveChanged = false;
                var moment = new Moment(values, weight_scale);
                PackedTernaryWeights fresh = IsDeployed ? ViewDeployed() : PackLatent();
                packed?.Dispose();
                packed = fresh;
                packedAt = moment;
            }
            return packed.Rent();
        }
    }

    // The inputs last, where there is something behind them.
    private static Tensor ToPackedOrder(Tensor weights) => weights.ndim > 2 ? weights.movedim([1], [-1]) : weights;

    private static Tensor FromPackedOrder(Tensor weights) => weights.ndim > 2 ? weights.movedim([-1], [1]) : weights;

    private PackedTernaryWeights PackLatent()
    {
        using DisposeScope scope = NewDisposeScope();
        using (no_grad())
        {
            Tensor w = ToPackedOrder(latent!.detach().to(ScalarType.Float32, CPU)).contiguous();
            return PackedTernaryWeights.Pack(
                new ReadOnlySpan<float>(TensorMemory.Pointer(w), rows * columns),
                rows, columns, QuantConfig.WeightGranularity, LayerName, QuantConfig.WeightScale);
        }
    }

    // Where the deployed tensors lie ready, their memory is multiplied as it is.
    private PackedTernaryWeights ViewDeployed()
    {
        byte* trits = TensorMemory.Pointer(packed_weight!);
        bool isReady = packed_weight!.device_type == DeviceType.CPU && (nint)trits % PanelLayout.BlockBytes == 0;
        PackedTernaryWeights weights;
        if (isReady)
        {
            weights = PackedTernaryWeights.Over(
                new TensorMemory.Owner(packed_weight, weight_scale!),
                trits, (float*)TensorMemory.Pointer(weight_scale!), rows, columns, QuantConfig.WeightGranularity, Packing);
        }
        else
        {
            using DisposeScope scope = NewDisposeScope();
            Tensor cpuTrits = packed_weight.cpu(), cpuScales = weight_scale!.cpu();
            weights = PackedTernaryWeights.Allocate(rows, columns, QuantConfig.WeightGranularity, Packing);
            Copy(TensorMemory.Pointer(cpuTrits), weights.RentedData, weights.PackedBytes);
            new Span<float>(TensorMemory.Pointer(cpuScales), weights.RentedScales.Length).CopyTo(weights.RentedScales);
        }
        if (weights.FindDamage() is not string damage)
            return weights;
        weights.Dispose();
        throw new InvalidDataException($"The packed weights of {LayerName} are damaged: {damage}.");
    }

    // For weights that are rented.
    private void BecomeDeployed(PackedTernaryWeights weights)
    {
        Tensor trits = EmptyTrits(weights.Packing, CPU), scales = empty(weights.RentedScales.Length, ScalarType.Float32);
        Copy(weights.RentedData, TensorMemory.Pointer(trits), weights.PackedBytes);
        HugePages.Collapse(TensorMemory.Pointer(trits), weights.PackedBytes);
        weights.RentedScales.CopyTo(new Span<float>(TensorMemory.Pointer(scales), weights.RentedScales.Length));
        BecomeDeployed(trits, scales);
    }

    private void BecomeDeployed(Tensor trits, Tensor scales)
    {
        lock (gate)
        {
            packed_weight?.Dispose();
            weight_scale?.Dispose();
            packed_weight = trits.DetachFromDisposeScope();
            weight_scale = scales.DetachFromDisposeScope();
            ConditionallyRegisterBuffer(PackedKey, packed_weight, true);
            ConditionallyRegisterBuffer(ScaleKey, weight_scale, true);
            weight = null;
            DropPacked();
        }
        base.train(false);
        Redeployed?.Invoke();
    }

    private void DropPacked()
    {
        lock (gate)
        {
            packed?.Dispose();
            packed = null;
        }
    }

    // A cast of the model casts every float buffer; the scales of trits stay float32, whatever the layer computes in.
    private nn.Module KeepingScalesPrecise(Func<nn.Module> to)
    {
        if (!IsDeployed)
            return to();
        using Tensor precise = weight_scale!.clone();
        nn.Module result = to();
        Tensor moved = precise.to(weight_scale!.device, copy: true).DetachFromDisposeScope();
        weight_scale.Dispose();
        weight_scale = moved;
        ConditionallyRegisterBuffer(ScaleKey, moved, true);
        return result;
    }

    /// <summary>What tells one moment of the weights from another: the tensors, their memory and their versions.</summary>
    private readonly struct Moment(Tensor values, Tensor? scales)
    {
        private readonly Tensor values = values;
        private readonly Tensor? scales = scales;
        private readonly nint memory = (nint)TensorMemory.Pointer(values);
        private readonly nint scaleMemory = scales is null ? 0 : (nint)TensorMemory.Pointer(scales);
        private readonly long? version = TensorMemory.Version(values);
        private readonly long? scaleVersion = scales is null ? 0 : TensorMemory.Version(scales);

        /// <summary>Whether nothing has changed since. Where there is no version to compare, anything may have.</summary>
        public bool Lasts(Tensor nowValues, Tensor? nowScales) =>
            ReferenceEquals(values, nowValues) && ReferenceEquals(scales, nowScales)
            && version is long counted && scaleVersion is long countedScales
            && counted == TensorMemory.CountedVersion(nowValues) && memory == (nint)TensorMemory.Pointer(nowValues)
            && (nowScales is null
                || (countedScales == TensorMemory.CountedVersion(nowScales) && scaleMemory == (nint)TensorMemory.Pointer(nowScales)));
    }
}
