using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>Token numbers to what the head reads: embedding, layers, last norm.</summary>
internal sealed class BitNetDecoder : nn.Module
{
    private readonly BitNetConfig config;
    private readonly TokenEmbedding embed_tokens;
    private readonly ModuleList<BitNetLayer> layers;
    private readonly RMSNorm norm;

    public BitNetDecoder(BitNetConfig config, BitNetParts parts)
        : base(nameof(BitNetDecoder))
    {
        this.config = config;
        embed_tokens = new TokenEmbedding(parts.Matrix("model.embed_tokens", config.VocabSize, config.HiddenSize));
        layers = nn.ModuleList([.. Enumerable.Range(0, config.NumHiddenLayers).Select(i => new BitNetLayer(i, config, parts))]);
        norm = parts.Norm("model.norm", config.HiddenSize);
        RegisterComponents();
    }

    /// <summary>(vocabulary, hidden).</summary>
    public Parameter Embedding => embed_tokens.weight;

    /// <returns>(batch, tokens, hidden), normalized.</returns>
    public Tensor Forward(Tensor inputIds, Tensor? attentionMask, Tensor? positionIds, BitNetCache? cache)
    {
        CheckIds(inputIds);
        CheckShape(attentionMask, inputIds.shape, nameof(attentionMask));
        if (positionIds is not null && !positionIds.shape.SequenceEqual([1, inputIds.size(1)]))
            CheckShape(positionIds, inputIds.shape, nameof(positionIds));
        cache?.Check(inputIds.size(0), config);

        using DisposeScope scope = NewDisposeScope();
        long batch = inputIds.size(0), tokens = inputIds.size(1), before = cache?.Length ?? 0;
        Tensor? isToken = IsToken(attentionMask, cache?.IsToken, batch, tokens, before, inputIds.device);
        Tensor positions = positionIds ?? Positions(isToken, tokens, before, inputIds.device);
        (Tensor cosines, Tensor sines) = RotaryEmbedding.Tables(positions, config);
        Tensor? sees = AttentionMask.Of(isToken, tokens, before, inputIds.device);

        Tensor hidden = embed_tokens.call(inputIds);
        foreach (BitNetLayer layer in layers)
            hidden = layer.Forward(hidden, cosines, sines, sees, cache);
        cache?.Advance(tokens, isToken);
        return norm.call(hidden).MoveToOuterDisposeScope();
    }

    // Of the tokens before and these: (batch, before + tokens), or null where none is padding.
    private static Tensor? IsToken(Tensor? mask, Tensor? cached, long batch, long tokens, long before, Device device)
    {
        if (mask is null && cached is null)
            return null;
        return cat(
            [
                cached ?? ones([batch, before], ScalarType.Bool, device),
                mask?.ne(0) ?? ones([batch, tokens], ScalarType.Bool, device),
            ],
            dim: 1);
    }

    private static Tensor Positions(Tensor? isToken, long tokens, long before, Device device) => isToken is null
        ? arange(before, before + tokens, ScalarType.Int64, device).unsqueeze(0)
        : (isToken.to(ScalarType.Int64).cumsum(dim: 1) - 1).clamp(min: 0).narrow(1, before, tokens);

    private static void CheckShape(Tensor? tensor, long[] shape, string name)
    {
        if (tensor is not null && !tensor.shape.SequenceEqual(shape))
        {
            throw new ArgumentException(
                $"Expected ({string.Join(", ", shape)}), as the tokens are, got ({string.Join(", ", tensor.shape)}).", name);
        }
    }

    private void CheckIds(Tensor inputIds)
    {
        if (inputIds.ndim != 2 || inputIds.numel() == 0)
        {
            throw new ArgumentException(
                $"Expected (batch, tokens), at least one of each, got ({string.Join(", ", inputIds.shape)}).", nameof(inputIds));
        }
        if (inputIds.dtype is not (ScalarType.Int64 or ScalarType.Int32))
            throw new ArgumentException($"Expected token numbers, Int64 or Int32, got {inputIds.dtype}.", nameof(inputIds));
        // Elsewhere, asking would wait for the device; there the embedding finds out.
        if (inputIds.device_type != DeviceType.CPU)
            return;
        using Tensor lowest = inputIds.min(), highest = inputIds.max();
        long low = lowest.to(ScalarType.Int64).item<long>(), high = highest.to(ScalarType.Int64).item<long>();
        if (low < 0 || high >= config.VocabSize)
        {
            throw new ArgumentException(
                $"Token {(low < 0 ? low : high)} is not in the vocabulary of {config.VocabSize}.", nameof(inputIds));
        }
    }
}
