using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Activations = TorchSharp.torch.nn.Activations;

namespace BitLab.Layers;

/// <summary>Stands in for <c>nn.TransformerEncoder</c>: a <see cref="ManagedTransformerEncoderLayer"/> for each of its
/// layers.</summary>
public sealed class ManagedTransformerEncoder
    : nn.Module<Tensor, Tensor?, Tensor?, Tensor>, nn.IModule<Tensor, Tensor?, Tensor>, nn.IModule<Tensor, Tensor>
{
    private readonly ModuleList<ManagedTransformerEncoderLayer> layers = [];

    private ManagedTransformerEncoder(WeightsByName weights, long heads, Activations activation, double dropout)
        : base(nameof(ManagedTransformerEncoder))
    {
        for (int i = 0; weights[$"layers.{i}.linear1.weight"] is not null; i++)
            layers.Add(new ManagedTransformerEncoderLayer(weights.Of($"layers.{i}"), heads, activation, dropout));
        RegisterComponents();
    }

    /// <summary>Makes the stand-in of a native module, with copies of its weights.</summary>
    /// <param name="native">The module; it is left as it is.</param>
    /// <param name="heads">The number of heads its layers were made with (<c>nhead</c>), which it does not tell.</param>
    /// <param name="activation">The activation they were made with. Default: ReLU, as there.</param>
    /// <param name="dropout">The dropout they were made with. Default: 0.1, as there.</param>
    /// <returns>The stand-in, in the native module's mode; the caller disposes it.</returns>
    /// <exception cref="ArgumentException">The number of heads does not divide the width.</exception>
    public static ManagedTransformerEncoder From(
        TransformerEncoder native, long heads, Activations activation = Activations.ReLU, double dropout = 0.1)
    {
        ArgumentNullException.ThrowIfNull(native);
        var standIn = new ManagedTransformerEncoder(new WeightsByName(native), heads, activation, dropout);
        standIn.train(native.training);
        return standIn;
    }

    /// <summary>Encodes.</summary>
    /// <param name="src">(S, N, E).</param>
    /// <param name="src_mask">(S, S), or null: see <see cref="ManagedTransformerEncoderLayer"/>.</param>
    /// <param name="src_key_padding_mask">(N, S), true where there is padding; or null.</param>
    /// <returns>The same shape as <paramref name="src"/>.</returns>
    public override Tensor forward(Tensor src, Tensor? src_mask, Tensor? src_key_padding_mask)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = src;
        foreach (ManagedTransformerEncoderLayer layer in layers)
            x = layer.call(x, src_mask, src_key_padding_mask);
        return x.MoveToOuterDisposeScope();
    }

    /// <summary>Encodes.</summary>
    /// <param name="src">(S, N, E).</param>
    /// <param name="src_mask">(S, S), or null.</param>
    /// <returns>The same shape as <paramref name="src"/>.</returns>
    public Tensor call(Tensor src, Tensor? src_mask) => call(src, src_mask, null);

    /// <summary>Encodes.</summary>
    /// <param name="src">(S, N, E).</param>
    /// <returns>The same shape.</returns>
    public Tensor call(Tensor src) => call(src, null, null);
}
