using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Activations = TorchSharp.torch.nn.Activations;
using Layer = TorchSharp.torch.nn.Module<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>;

namespace BitLab.Layers;

/// <summary>Stands in for <c>nn.TransformerEncoderLayer</c>, which multiplies inside LibTorch where no layer can be exchanged:
/// the same outputs from the same weights, by six linear layers that can be converted.</summary>
/// <remarks>Vaswani et al. 2017, arXiv:1706.03762, figure 1, left: each norm behind its sum, as the native module has it. Keys
/// are the native module's but for the attention's (<see cref="ManagedMultiheadAttention"/>).</remarks>
public sealed class ManagedTransformerEncoderLayer
    : Layer, nn.IModule<Tensor, Tensor?, Tensor>, nn.IModule<Tensor, Tensor?, Tensor?, Tensor>
{
    private readonly ManagedMultiheadAttention self_attn;
    private readonly Layer linear1;
    private readonly Layer linear2;
    private readonly LayerNorm norm1;
    private readonly LayerNorm norm2;
    private readonly Activations activation;
    private readonly double dropout;

    internal ManagedTransformerEncoderLayer(WeightsByName weights, long heads, Activations activation, double dropout)
        : base(nameof(ManagedTransformerEncoderLayer))
    {
        (this.activation, this.dropout) = (activation, dropout);
        self_attn = ManagedMultiheadAttention.From(weights.Of("self_attn"), heads, dropout);
        linear1 = weights.Linear("linear1.weight", "linear1.bias");
        linear2 = weights.Linear("linear2.weight", "linear2.bias");
        norm1 = weights.Norm("norm1");
        norm2 = weights.Norm("norm2");
        RegisterComponents();
    }

    /// <summary>Makes the stand-in of a native module, with copies of its weights.</summary>
    /// <param name="native">The module; it is left as it is.</param>
    /// <param name="heads">The number of heads it was made with (<c>nhead</c>), which it does not tell.</param>
    /// <param name="activation">The activation it was made with. Default: ReLU, as there.</param>
    /// <param name="dropout">The dropout it was made with. Default: 0.1, as there.</param>
    /// <returns>The stand-in, in the native module's mode; the caller disposes it.</returns>
    /// <exception cref="ArgumentException">The number of heads does not divide the width.</exception>
    public static ManagedTransformerEncoderLayer From(
        TransformerEncoderLayer native, long heads, Activations activation = Activations.ReLU, double dropout = 0.1)
    {
        ArgumentNullException.ThrowIfNull(native);
        var standIn = new ManagedTransformerEncoderLayer(new WeightsByName(native), heads, activation, dropout);
        standIn.train(native.training);
        return standIn;
    }

    /// <summary>Encodes.</summary>
    /// <param name="input">(S, N, E): S positions, N sequences.</param>
    /// <returns>The same shape.</returns>
    public override Tensor forward(Tensor input) => call(input, null, null);

    /// <summary>Encodes with a mask.</summary>
    /// <param name="src">(S, N, E).</param>
    /// <param name="src_mask">(S, S): true where a position must not look, or floats that are added to the scores; or
    /// null.</param>
    /// <returns>The same shape as <paramref name="src"/>.</returns>
    public Tensor call(Tensor src, Tensor? src_mask) => call(src, src_mask, null);

    /// <summary>Encodes with masks.</summary>
    /// <param name="src">(S, N, E).</param>
    /// <param name="src_mask">(S, S): true where a position must not look, or floats that are added to the scores; or
    /// null.</param>
    /// <param name="src_key_padding_mask">(N, S), true where there is padding; or null.</param>
    /// <returns>The same shape as <paramref name="src"/>.</returns>
    public Tensor call(Tensor src, Tensor? src_mask, Tensor? src_key_padding_mask)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor attended = self_attn.call(src, src, src, src_key_padding_mask, need_weights: false, src_mask).Item1;
        Tensor x = norm1.call(src + Dropped(attended));
        Tensor hidden = linear1.call(x);
        hidden = activation == Activations.ReLU ? nn.functional.relu(hidden) : nn.functional.gelu(hidden);
        return norm2.call(x + Dropped(linear2.call(Dropped(hidden)))).MoveToOuterDisposeScope();
    }

    private Tensor Dropped(Tensor x) => training && dropout > 0 ? nn.functional.dropout(x, dropout) : x;
}
