using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>Which tokens a token sees: itself and those before it that are no padding.</summary>
internal static class AttentionMask
{
    /// <summary>The mask of the last tokens of sequences.</summary>
    /// <param name="isToken">(batch, before + tokens), false where there is padding; null: nowhere.</param>
    /// <param name="tokens">How many tokens look.</param>
    /// <param name="before">How many tokens are before them.</param>
    /// <param name="device">Where.</param>
    /// <returns>(batch or 1, 1, tokens, before + tokens), bool; null where all is seen.</returns>
    public static Tensor? Of(Tensor? isToken, long tokens, long before, Device device)
    {
        if (isToken is null && tokens == 1)
            return null;
        using DisposeScope scope = NewDisposeScope();
        Tensor self = arange(before, before + tokens, ScalarType.Int64, device).unsqueeze(-1);
        Tensor others = arange(before + tokens, ScalarType.Int64, device).unsqueeze(0);
        if (isToken is null)
            return others.le(self).unsqueeze(0).unsqueeze(0).MoveToOuterDisposeScope();
        // Padding sees itself: with nothing to see, its values would be NaN, which a weight of zero does not hide.
        return others.lt(self).logical_and(isToken.unsqueeze(1)).logical_or(others.eq(self)).unsqueeze(1).MoveToOuterDisposeScope();
    }
}
