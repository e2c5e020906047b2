using BitLab.Layers;
using static TorchSharp.torch;
using Hook = TorchSharp.torch.nn.HookableModule<System.Func<TorchSharp.torch.nn.Module<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>, System.Func<TorchSharp.torch.nn.Module<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>>.HookRemover;
using PostHook = System.Func<TorchSharp.torch.nn.Module<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>;

namespace BitLab.Analysis;

/// <summary>Stands behind a float layer and sees each call's input and output, or answers in its place, until
/// disposed.</summary>
internal sealed class LayerProbe : IDisposable
{
    private readonly Hook hook;

    public LayerProbe(nn.Module<Tensor, Tensor> layer)
    {
        // The user's own hooks go on seeing what the model computes, so they come behind.
        Dictionary<string, PostHook> hooks = TorchSharpInternals.PostHooks(layer);
        KeyValuePair<string, PostHook>[] users = [.. hooks];
        hooks.Clear();
        hook = layer.register_forward_hook((_, input, output) => OnCall?.Invoke(input, output)!);
        foreach ((string key, PostHook usersHook) in users)
            hooks[key] = usersHook;
    }

    /// <summary>From the input and the float output (both on their owners' account) to another output, or null: leave it.</summary>
    public Func<Tensor, Tensor, Tensor?>? OnCall { get; set; }

    public void Dispose() => hook.remove();
}
