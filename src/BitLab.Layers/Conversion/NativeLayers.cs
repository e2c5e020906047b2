using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>TorchSharp's layers that have weights to multiply by and are no <c>Linear</c>.</summary>
internal static class NativeLayers
{
    /// <summary>Why a module's weights stay as they are, or null where it has none of its own.</summary>
    public static string? WhyNot(nn.Module module) => module switch
    {
        MultiheadAttention => $"multiplies inside LibTorch; {nameof(BitLab)} has a managed stand-in",
        TransformerEncoderLayer => $"multiplies inside LibTorch; {nameof(BitLab)} has a managed stand-in",
        TransformerEncoder or TransformerDecoderLayer or TransformerDecoder or Transformer => "multiplies inside LibTorch",
        RNN or LSTM or GRU or RNNCell or LSTMCell or GRUCell => "multiplies inside LibTorch",
        Bilinear => "two inputs",
        Convolution => "a convolution",
        _ => null,
    };
}
