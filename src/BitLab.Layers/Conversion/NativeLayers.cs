using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>TorchSharp's layers that have weights to multiply by and are no <c>Linear</c>.</summary>
internal static class NativeLayers
{
    /// <summary>Why a module's weights stay as they are, or null where it has none of its own.</summary>
    public static string? WhyNot(nn.Module module) => module switch
    {
        MultiheadAttention => $"multiplies inside LibTorch: put {nameof(ManagedMultiheadAttention)}.From(it) there first",
        TransformerEncoderLayer => $"multiplies inside LibTorch: put {nameof(ManagedTransformerEncoderLayer)}.From(it, ...) there first",
        TransformerEncoder => $"multiplies inside LibTorch: put {nameof(ManagedTransformerEncoder)}.From(it, ...) there first",
        TransformerDecoderLayer or TransformerDecoder or Transformer => "multiplies inside LibTorch",
        RNN or LSTM or GRU or RNNCell or LSTMCell or GRUCell => "multiplies inside LibTorch",
        Bilinear => "two inputs",
        Conv1d or Conv2d => "a convolution: ConversionOptions.Convolutions converts it",
        Convolution => "no ternary twin",
        _ => null,
    };
}
