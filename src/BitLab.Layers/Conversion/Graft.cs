using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Hook = TorchSharp.torch.nn.HookableModule<System.Func<TorchSharp.torch.nn.Module<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>, System.Func<TorchSharp.torch.nn.Module<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>>.HookRemover;
using PostHook = System.Func<TorchSharp.torch.nn.Module<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>;

namespace BitLab.Layers;

/// <summary>Makes calls of a <c>Linear</c> or a convolution that has to stay where it is, the host, be answered by a ternary
/// layer with the same parameters.</summary>
/// <remarks>
/// <para>A hook before the forward puts the input aside and hands the host an empty batch, which costs next to nothing; a hook
/// behind it returns the ternary layer's result. TorchSharp runs hooks in <c>call</c>, not in <c>forward</c>.</para>
/// <para>The graft is a child of the host without parameters of its own, so TorchSharp tells it of <c>train()</c>,
/// <c>eval()</c>, <c>state_dict()</c> and <c>Dispose()</c>, and the host's keys stay as they are. A cast or a move replaces
/// the host's parameters without telling; the next use of the graft sees that they are others.</para>
/// <para>Once deployed, the host has no weight, but the buffers that a deployed ternary layer has.</para>
/// </remarks>
internal sealed class Graft : nn.Module
{
    public const string ChildName = "ternary";
    private const string NormName = "rms_norm";

    // The calls under way on this thread. More than one only where a hook calls another grafted layer.
    [ThreadStatic]
    private static List<Call>? calls;

    private readonly nn.Module<Tensor, Tensor> host;
    private readonly BitLayerBase layer;
    private readonly RMSNorm? norm;
    private readonly Lock gate = new();
    private readonly Hook[] hooks;
    private readonly Dictionary<string, PostHook> usersHooks = [];
    private Tensor emptyBatch;
    private bool isDisposed;

    // Stands for the freed weight while the host multiplies nothing by it: one NaN that claims to be all of it.
    private Parameter? placeholder;
    private int callsWithPlaceholder;

    /// <param name="host">A <c>Linear</c>, <c>Conv1d</c> or <c>Conv2d</c>.</param>
    /// <param name="layer">Its ternary twin, around its parameters.</param>
    public Graft(nn.Module<Tensor, Tensor> host, BitLayerBase layer)
        : base(nameof(Graft))
    {
        this.host = host;
        this.layer = layer;
        norm = (layer as BitLinear)?.Norm;
        emptyBatch = NewEmptyBatch();
        layer.Redeployed = TakeOverDeployed;

        // The user's hooks go on seeing true inputs and outputs: those before the forward run before the input is put aside,
        // those behind it run behind the answer.
        Dictionary<string, PostHook> behind = TorchSharpInternals.PostHooks(host);
        foreach ((string key, PostHook hook) in behind)
            usersHooks[key] = hook;
        behind.Clear();
        hooks =
        [
            host.register_forward_pre_hook(PutAside),
            host.register_forward_hook(Answer),
            host.register_forward_hook(Finish),
        ];
        foreach ((string key, PostHook hook) in usersHooks)
            behind[key] = (module, _, output) => hook(module, calls![^1].Input, output);

        if (norm is not null)
            host.register_module(NormName, norm);
        host.register_module(ChildName, this);
    }

    /// <summary>The layer that answers, with the parameters that the host has now.</summary>
    public BitLayerBase Layer
    {
        get
        {
            Synchronize();
            return layer;
        }
    }

    /// <summary>The graft on a module, or null.</summary>
    public static Graft? On(nn.Module module) => module.named_children().Select(child => child.module).OfType<Graft>().FirstOrDefault();

    /// <summary>Takes the graft off the host, which is as before.</summary>
    /// <remarks>Not for a deployed layer: there is nothing to go back to.</remarks>
    public void Remove()
    {
        Synchronize();
        foreach (Hook hook in hooks)
            hook.remove();
        Dictionary<string, PostHook> behind = TorchSharpInternals.PostHooks(host);
        foreach ((string key, PostHook hook) in usersHooks)
        {
            if (behind.ContainsKey(key))
                behind[key] = hook;
        }
        host.register_module(ChildName, null!);
        if (norm is not null)
            host.register_module(NormName, null!);
        Dispose();
    }

    /// <inheritdoc/>
    public override void train(bool train = true)
    {
        base.train(train);
        Layer.train(train);
    }

    /// <summary>None: they are the host's. Who asks may write to their memory, as TorchSharp's own load() does.</summary>
    public override IEnumerable<(string name, Parameter parameter)> named_parameters(bool recurse = true)
    {
        layer.MayHaveChanged();
        return [];
    }

    /// <summary>Registers nothing: what the fields hold belongs to the host.</summary>
    protected override void RegisterComponents()
    {
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing && !isDisposed)
        {
            isDisposed = true;
            // The parameters are the host's.
            layer.Rebind(null, null);
            layer.Dispose();
            emptyBatch.Dispose();
            placeholder?.Dispose();
        }
        base.Dispose(disposing);
    }

    private Tensor PutAside(nn.Module<Tensor, Tensor> module, Tensor input)
    {
        Synchronize();
        calls ??= [];
        // A call that another hook ended with an exception is still noted.
        int broken = calls.FindIndex(call => call.Graft == this);
        if (broken >= 0)
        {
            calls[broken].End();
            calls.RemoveRange(broken, calls.Count - broken);
        }
        calls.Add(new Call(this, input, emptyBatch, BorrowPlaceholder()));
        return emptyBatch;
    }

    private Tensor Answer(nn.Module<Tensor, Tensor> module, Tensor batch, Tensor output)
    {
        Call call = calls![^1];
        call.End();
        output.Dispose();
        bool isAnswered = false;
        try
        {
            if (!ReferenceEquals(batch, call.Batch))
            {
                throw new InvalidOperationException(
                    $"A hook that was registered after the conversion changed the input of {layer.LayerName}. Register it before.");
            }
            Tensor answer = layer.forward(call.Input);
            isAnswered = true;
            return answer;
        }
        finally
        {
            if (!isAnswered)
                calls.RemoveAt(calls.Count - 1);
        }
    }

    private static void Finish(nn.Module module) => calls!.RemoveAt(calls.Count - 1);

    // A cast or a move has replaced the host's parameters, if they are not the layer's.
    private void Synchronize()
    {
        Parameter? bias = TorchSharpInternals.Bias(host);
        Parameter? weight = layer.IsDeployed ? null : TorchSharpInternals.Weight(host);
        if (ReferenceEquals(layer.weight, weight) && ReferenceEquals(layer.Bias, bias))
            return;
        lock (gate)
        {
            layer.Rebind(weight, bias);
            if (norm is not null && (weight ?? bias) is Parameter like)
                norm.to(like.device, like.dtype);
            emptyBatch.Dispose();
            emptyBatch = NewEmptyBatch();
            placeholder?.Dispose();
            placeholder = layer.IsDeployed ? NewPlaceholder() : null;
        }
    }

    // The layer has freed the weights; its buffers become the host's, so that keys are those of a ternary layer.
    private void TakeOverDeployed()
    {
        lock (gate)
        {
            emptyBatch.Dispose();
            TorchSharpInternals.Weight(host) = null;
            TorchSharpInternals.Parameters(host).Remove(BitLayerBase.WeightKey);
            foreach ((string key, Tensor value) in layer.DeployedBuffers)
                TorchSharpInternals.Buffers(host)[key] = (value, true);
            emptyBatch = NewEmptyBatch();
            placeholder ??= NewPlaceholder();
        }
    }

    private bool BorrowPlaceholder()
    {
        if (!layer.IsDeployed)
            return false;
        lock (gate)
        {
            callsWithPlaceholder++;
            TorchSharpInternals.Weight(host) = placeholder;
        }
        return true;
    }

    // Between calls the host has no weight, for a cast of the model would make the placeholder as large as it claims to be.
    private void ReturnPlaceholder()
    {
        lock (gate)
        {
            if (--callsWithPlaceholder == 0)
                TorchSharpInternals.Weight(host) = null;
        }
    }

    private (ScalarType Type, Device Device) Kind() =>
        (TorchSharpInternals.Weight(host) ?? TorchSharpInternals.Bias(host)) is Parameter parameter
            ? (parameter.dtype, parameter.device)
            : (ScalarType.Float32, CPU);

    private Tensor NewEmptyBatch()
    {
        (ScalarType type, Device device) = Kind();
        long[] input = layer is BitConvBase convolution ? convolution.SmallestInput : [layer.WeightShape[1]];
        return empty([0, .. input], type, device).DetachFromDisposeScope();
    }

    private Parameter NewPlaceholder()
    {
        (ScalarType type, Device device) = Kind();
        using DisposeScope scope = NewDisposeScope();
        long[] shape = [.. layer.WeightShape];
        using Tensor one = full([.. shape.Select(_ => 1L)], float.NaN, type, device);
        return (Parameter)new Parameter(one.expand(shape), requires_grad: false).DetachFromDisposeScope();
    }

    private sealed class Call(Graft graft, Tensor input, Tensor batch, bool hasPlaceholder)
    {
        private bool hasPlaceholder = hasPlaceholder;

        public Graft Graft => graft;

        public Tensor Input => input;

        public Tensor Batch => batch;

        /// <summary>The host has multiplied, or never will.</summary>
        public void End()
        {
            if (hasPlaceholder)
                graft.ReturnPlaceholder();
            hasPlaceholder = false;
        }
    }
}
