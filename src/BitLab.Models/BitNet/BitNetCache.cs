using BitLab.Core;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>Keys and values of the tokens that a <see cref="BitNetModel"/> has seen, so that the next ones need not compute them
/// again. One cache is for one batch of sequences of one model.</summary>
/// <remarks>It takes 2 · layers · key heads · head dim floats for each token. Its memory grows by doubling. Not for
/// several threads at once.</remarks>
public sealed class BitNetCache : IDisposable
{
    private const long FirstCapacity = 32;

    private readonly List<(Tensor Keys, Tensor Values)> layers = [];
    private BitNetConfig? config;
    private long batch;

    /// <summary>How many tokens of each sequence it holds, padding included.</summary>
    public long Length { get; private set; }

    /// <summary>(batch, length), false where there is padding; null where there is none.</summary>
    internal Tensor? IsToken { get; private set; }

    /// <summary>Frees its memory. It is empty then, and can be used for another batch.</summary>
    public void Dispose()
    {
        foreach ((Tensor keys, Tensor values) in layers)
        {
            keys.Dispose();
            values.Dispose();
        }
        layers.Clear();
        IsToken?.Dispose();
        IsToken = null;
        Length = 0;
        config = null;
    }

    /// <summary>Throws where the cache holds another batch or another model's keys.</summary>
    internal void Check(long sequences, BitNetConfig architecture)
    {
        if (Length == 0)
        {
            // A first step that failed may have left keys of another batch.
            Dispose();
            (batch, config) = (sequences, architecture);
        }
        if (batch != sequences || config != architecture)
        {
            throw new ArgumentException(
                $"The cache holds {batch} sequences of a model; these are {sequences}"
                + (config == architecture ? "." : " of another model."), "cache");
        }
    }

    /// <summary>Adds a layer's keys and values of some tokens, each (batch, key heads, tokens, head dim).</summary>
    /// <returns>Those of all tokens so far: views, valid until the next call.</returns>
    internal (Tensor Keys, Tensor Values) Append(int layer, Tensor keys, Tensor values)
    {
        if (layer == layers.Count)
            layers.Add((Grown(null, keys), Grown(null, values)));
        (Tensor heldKeys, Tensor heldValues) = layers[layer];
        long tokens = keys.size(2);
        if (heldKeys.size(2) < Length + tokens)
        {
            layers[layer] = (Grown(heldKeys, keys), Grown(heldValues, values));
            heldKeys.Dispose();
            heldValues.Dispose();
            (heldKeys, heldValues) = layers[layer];
        }
        using (Tensor keySlots = heldKeys.narrow(2, Length, tokens), valueSlots = heldValues.narrow(2, Length, tokens))
        {
            keySlots.copy_(keys);
            valueSlots.copy_(values);
        }
        return (heldKeys.narrow(2, 0, Length + tokens), heldValues.narrow(2, 0, Length + tokens));
    }

    /// <summary>Counts tokens that every layer has added.</summary>
    internal void Advance(long tokens, Tensor? isToken)
    {
        Length += tokens;
        IsToken?.Dispose();
        IsToken = isToken?.alias().DetachFromDisposeScope();
    }

    private Tensor Grown(Tensor? held, Tensor added)
    {
        long capacity = Math.Max(Math.Max(FirstCapacity, Length + added.size(2)), 2 * (held?.size(2) ?? 0));
        Tensor grown = empty(
            [added.size(0), added.size(1), capacity, added.size(3)], added.dtype, added.device).DetachFromDisposeScope();
        if (held is not null)
        {
            using Tensor slots = grown.narrow(2, 0, Length), kept = held.narrow(2, 0, Length);
            slots.copy_(kept);
        }
        return grown;
    }
}
