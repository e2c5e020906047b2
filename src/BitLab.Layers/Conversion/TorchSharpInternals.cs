using System.Reflection;
using System.Runtime.CompilerServices;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using PostHook = System.Func<TorchSharp.torch.nn.Module<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>;
using PreHook = System.Func<TorchSharp.torch.nn.Module<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>, TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>;

namespace BitLab.Layers;

/// <summary>The private parts of TorchSharp that a conversion touches, all of them.</summary>
internal static class TorchSharpInternals
{
    private static readonly (Type Type, string Field)[] Needed =
    [
        (typeof(Linear), "_weight"),
        (typeof(Linear), "_bias"),
        (typeof(Convolution), "_weight"),
        (typeof(Convolution), "_bias"),
        (typeof(nn.Module), "_internal_params"),
        (typeof(nn.Module), "_internal_buffers"),
        (typeof(nn.HookableModule<PreHook, PostHook>), "pre_hooks"),
        (typeof(nn.HookableModule<PreHook, PostHook>), "post_hooks"),
        (typeof(nn.HookableModule<PreHook, PostHook>), "module_pre_hooks"),
        (typeof(nn.HookableModule<PreHook, PostHook>), "module_post_hooks"),
    ];

    /// <summary>Throws where this TorchSharp is not built as the one that this library was written for.</summary>
    /// <exception cref="NotSupportedException">It is not.</exception>
    public static void Check()
    {
        foreach ((Type type, string field) in Needed)
        {
            if (type.GetField(field, BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.DeclaredOnly) is null)
            {
                throw new NotSupportedException(
                    $"TorchSharp {typeof(nn.Module).Assembly.GetName().Version} has no field {type.Name}.{field}. Models are converted "
                    + "with TorchSharp 0.107.");
            }
        }
    }

    /// <summary>The field with the weights of a <c>Linear</c> or a convolution.</summary>
    public static ref Parameter? Weight(nn.Module layer)
    {
        if (layer is Linear linear)
            return ref LinearWeight(linear);
        return ref ConvolutionWeight((Convolution)layer);
    }

    /// <summary>The field with the bias of a <c>Linear</c> or a convolution.</summary>
    public static ref Parameter? Bias(nn.Module layer)
    {
        if (layer is Linear linear)
            return ref LinearBias(linear);
        return ref ConvolutionBias((Convolution)layer);
    }

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_weight")]
    private static extern ref Parameter? LinearWeight(Linear linear);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_bias")]
    private static extern ref Parameter? LinearBias(Linear linear);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_weight")]
    private static extern ref Parameter? ConvolutionWeight(Convolution convolution);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_bias")]
    private static extern ref Parameter? ConvolutionBias(Convolution convolution);

    /// <summary>Makes other objects the parameters of a <c>Linear</c> or a convolution.</summary>
    public static void Rebind(nn.Module module, Parameter? weight, Parameter? bias)
    {
        (Weight(module), Bias(module)) = (weight, bias);
        if (weight is not null)
            Parameters(module)["weight"] = weight;
        if (bias is not null)
            Parameters(module)["bias"] = bias;
    }

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_internal_params")]
    public static extern ref OrderedDict<string, Parameter> Parameters(nn.Module module);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_internal_buffers")]
    public static extern ref OrderedDict<string, (Tensor, bool)> Buffers(nn.Module module);

    public static ref Dictionary<string, PostHook> PostHooks(nn.Module<Tensor, Tensor> module) =>
        ref Hooks<PreHook, PostHook>.Post(module);

    /// <summary>Exchanges all hooks of two modules. What removes a hook looks in the dictionary, so it goes on working.</summary>
    public static void ExchangeHooks(nn.Module<Tensor, Tensor> a, nn.Module<Tensor, Tensor> b)
    {
        Exchange(ref Hooks<PreHook, PostHook>.Pre(a), ref Hooks<PreHook, PostHook>.Pre(b));
        Exchange(ref Hooks<PreHook, PostHook>.Post(a), ref Hooks<PreHook, PostHook>.Post(b));
        Exchange(ref Hooks<PreHook, PostHook>.ModulePre(a), ref Hooks<PreHook, PostHook>.ModulePre(b));
        Exchange(ref Hooks<PreHook, PostHook>.ModulePost(a), ref Hooks<PreHook, PostHook>.ModulePost(b));

        static void Exchange<T>(ref T x, ref T y) => (x, y) = (y, x);
    }

    // An accessor of a generic type's field needs the type's own parameters.
    private static class Hooks<TPre, TPost>
    {
        [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "pre_hooks")]
        public static extern ref Dictionary<string, TPre> Pre(nn.HookableModule<TPre, TPost> module);

        [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "post_hooks")]
        public static extern ref Dictionary<string, TPost> Post(nn.HookableModule<TPre, TPost> module);

        [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "module_pre_hooks")]
        public static extern ref Dictionary<string, Action<nn.Module>> ModulePre(nn.HookableModule<TPre, TPost> module);

        [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "module_post_hooks")]
        public static extern ref Dictionary<string, Action<nn.Module>> ModulePost(nn.HookableModule<TPre, TPost> module);
    }
}
