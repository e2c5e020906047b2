using BitLab.Layers;
using static TorchSharp.torch;

namespace BitLab.Analysis;

/// <summary>A layer's call as what it is: rows of inputs times a matrix. A convolution has a row for each position of its
/// output.</summary>
internal static class LayerTokens
{
    // A convolution's rows repeat its inputs, so they are made a few images at a time.
    private const long RowsAtOnce = 8192;

    /// <summary>Why a layer's call is no such product, or null.</summary>
    public static string? WhyNot(BitLayerBase layer) =>
        layer is BitConvBase { groups: > 1 } ? "a convolution in groups is a product for each" : null;

    /// <summary>Inputs as the ternary layer multiplies them, (rows, K), and the outputs that belong to them, (rows, N).</summary>
    public static IEnumerable<(Tensor Inputs, Tensor Outputs)> Of(BitLayerBase layer, Tensor input, Tensor output)
    {
        if (layer is not BitConvBase convolution)
        {
            Tensor x = layer is BitLinear { Norm: RMSNorm norm } ? norm.call(input) : input;
            return [(Rows(StraightThrough.Activations(x, layer.QuantConfig)), Rows(output))];
        }
        if (output.numel() == 0)
            return [];
        bool isBatched = input.ndim == convolution.kernel_size.Count + 2;
        (Tensor images, Tensor outputs) = isBatched ? (input, output) : (input.unsqueeze(0), output.unsqueeze(0));
        // What shares a range is an image.
        images = StraightThrough.Activations(images.flatten(1), layer.QuantConfig).reshape(images.shape);
        long rowsOfImage = outputs.numel() / (outputs.size(0) * outputs.size(1));
        long imagesAtOnce = Math.Max(1, RowsAtOnce / rowsOfImage);
        return images.split(imagesAtOnce).Zip(
            outputs.split(imagesAtOnce), (some, theirs) => (Unfold(convolution, some), theirs.flatten(2).transpose(1, 2).flatten(0, 1)));
    }

    private static Tensor Rows(Tensor values) => values.reshape(-1, values.size(-1));

    private static Tensor Unfold(BitConvBase convolution, Tensor images)
    {
        Tensor padded = convolution.Pad(images.to(ScalarType.Float32));
        // One dimension is a height of 1.
        if (convolution.kernel_size.Count == 1)
            padded = padded.unsqueeze(2);
        Tensor columns = nn.functional.unfold(
            padded, Pair(convolution.kernel_size), Pair(convolution.dilation), padding: (0, 0), stride: Pair(convolution.stride));
        return columns.transpose(1, 2).flatten(0, 1);
    }

    private static (long, long) Pair(IReadOnlyList<long> sizes) => sizes.Count == 1 ? (1, sizes[0]) : (sizes[0], sizes[1]);
}
