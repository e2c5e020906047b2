using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Layer = TorchSharp.torch.nn.Module<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>;

namespace BitLab.Layers;

/// <summary>Stands in for <c>nn.MultiheadAttention</c>, which multiplies inside LibTorch where no layer can be exchanged: the
/// same outputs from the same weights, by four linear layers that can be converted.</summary>
/// <remarks>Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2. Its children are <c>q_proj</c>, <c>k_proj</c>, <c>v_proj</c>
/// and <c>out_proj</c>: the native module's <c>in_proj_weight</c> is cut into three, so its keys are others.</remarks>
public sealed class ManagedMultiheadAttention
    : nn.Module<Tensor, Tensor, Tensor, Tensor?, bool, Tensor?, Tuple<Tensor, Tensor>>
{
    private readonly Layer q_proj;
    private readonly Layer k_proj;
    private readonly Layer v_proj;
    private readonly Layer out_proj;
    private readonly Parameter? bias_k;
    private readonly Parameter? bias_v;
    private readonly long heads;
    private readonly double dropout;
    private readonly bool addZeroAttention;

    private ManagedMultiheadAttention(WeightsByName weights, long heads, double dropout, bool addZeroAttention)
        : base(nameof(ManagedMultiheadAttention))
    {
        (this.heads, this.dropout, this.addZeroAttention) = (heads, dropout, addZeroAttention);
        out_proj = weights.Linear("out_proj.weight", "out_proj.bias");
        long width = weights["out_proj.weight"]!.size(0);
        if (heads < 1 || width % heads != 0)
            throw new ArgumentException($"{heads} heads do not divide {width} features.", nameof(heads));
        // One matrix for all where queries, keys and values are equally wide.
        Layer Projection(int which, string name) => weights["in_proj_weight"] is null
            ? weights.Linear(name, "in_proj_bias", which * width, width)
            : weights.Linear("in_proj_weight", "in_proj_bias", which * width, width, cutsWeight: true);
        q_proj = Projection(0, "q_proj_weight");
        k_proj = Projection(1, "k_proj_weight");
        v_proj = Projection(2, "v_proj_weight");
        bias_k = weights.Copy("bias_k");
        bias_v = weights.Copy("bias_v");
        RegisterComponents();
    }

    /// <summary>Makes the stand-in of a native module, with copies of its weights.</summary>
    /// <param name="native">The module; it is left as it is.</param>
    /// <param name="heads">The number of heads it was made with, which it does not tell.</param>
    /// <param name="dropout">The dropout of attention weights it was made with. Default: 0.</param>
    /// <param name="addZeroAttention">Whether it was made with <c>add_zero_attn</c>. Default: no.</param>
    /// <returns>The stand-in, in the native module's mode; the caller disposes it.</returns>
    /// <exception cref="ArgumentException">The number of heads does not divide the width.</exception>
    public static ManagedMultiheadAttention From(
        MultiheadAttention native, long heads, double dropout = 0, bool addZeroAttention = false)
    {
        ArgumentNullException.ThrowIfNull(native);
        var standIn = new ManagedMultiheadAttention(new WeightsByName(native), heads, dropout, addZeroAttention);
        standIn.train(native.training);
        return standIn;
    }

    internal static ManagedMultiheadAttention From(WeightsByName weights, long heads, double dropout) =>
        new(weights, heads, dropout, addZeroAttention: false);

    /// <summary>Attends.</summary>
    /// <param name="query">(L, N, E): L positions, N sequences.</param>
    /// <param name="key">(S, N, K).</param>
    /// <param name="value">(S, N, V).</param>
    /// <param name="key_padding_mask">(N, S), true where a key is padding; or null.</param>
    /// <param name="need_weights">Whether to return the attention weights too.</param>
    /// <param name="attn_mask">(L, S) or (N * heads, L, S): true where a query must not look, or floats that are added to
    /// its scores; or null.</param>
    /// <returns>(L, N, E), and the weights (N, L, S), means over the heads, or null.</returns>
    public new Tuple<Tensor, Tensor> call(
        Tensor query, Tensor key, Tensor value, Tensor? key_padding_mask = null, bool need_weights = true, Tensor? attn_mask = null) =>
        base.call(query, key, value, key_padding_mask, need_weights, attn_mask);

    /// <inheritdoc/>
    public override Tuple<Tensor, Tensor> forward(
        Tensor query, Tensor key, Tensor value, Tensor? key_padding_mask, bool need_weights, Tensor? attn_mask)
    {
        using DisposeScope scope = NewDisposeScope();
        (long length, long batch) = (query.size(0), query.size(1));
        Tensor k = k_proj.call(key), v = v_proj.call(value);
        Tensor? mask = Mask(key_padding_mask, attn_mask, batch, key.size(0), query.dtype);
        if (bias_k is not null && bias_v is not null)
        {
            k = cat([k, bias_k.expand(1, batch, -1)], 0);
            v = cat([v, bias_v.expand(1, batch, -1)], 0);
            mask = OneMoreKey(mask);
        }
        if (addZeroAttention)
        {
            k = cat([k, zeros_like(k[..1])], 0);
            v = cat([v, zeros_like(v[..1])], 0);
            mask = OneMoreKey(mask);
        }
        (Tensor q, k, v) = (Heads(q_proj.call(query)), Heads(k), Heads(v));
        double kept = training ? dropout : 0;
        Tensor mixed;
        Tensor? attention = null;
        if (need_weights)
        {
            Tensor scores = q.matmul(k.transpose(-2, -1)) / Math.Sqrt(q.size(-1));
            attention = nn.functional.softmax(mask is null ? scores : scores + mask, -1);
            if (kept > 0)
                attention = nn.functional.dropout(attention, kept);
            mixed = attention.matmul(v);
        }
        else
        {
            mixed = nn.functional.scaled_dot_product_attention(q, k, v, mask, kept);
        }
        Tensor output = out_proj.call(mixed.permute(2, 0, 1, 3).reshape(length, batch, -1));
        return Tuple.Create(output.MoveToOuterDisposeScope(), attention?.mean([1L]).MoveToOuterDisposeScope()!);
    }

    // (positions, N, heads * d) to (N, heads, positions, d).
    private Tensor Heads(Tensor x) => x.view(x.size(0), x.size(1), heads, -1).permute(1, 2, 0, 3);

    // Both masks as what is added to the scores, of a shape that broadcasts to (N, heads, L, S); or null.
    private Tensor? Mask(Tensor? padding, Tensor? attention, long batch, long keys, ScalarType type)
    {
        Tensor? added = attention is null ? null : Added(attention, type);
        if (added is not null && added.ndim == 3)
            added = added.view(batch, heads, added.size(1), keys);
        if (padding is null)
            return added;
        Tensor hidden = Added(padding, type).view(batch, 1, 1, keys);
        return added is null ? hidden : added + hidden;
    }

    private static Tensor Added(Tensor mask, ScalarType type) => mask.dtype == ScalarType.Bool
        ? zeros(mask.shape, type, mask.device).masked_fill(mask, double.NegativeInfinity)
        : mask.to(type);

    private static Tensor? OneMoreKey(Tensor? mask) => mask is null ? null : nn.functional.pad(mask, [0, 1]);
}
