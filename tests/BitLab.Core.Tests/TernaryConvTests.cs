using CsCheck;

namespace BitLab.Core.Tests;

public class TernaryConvTests
{
    public static TheoryData<string, BitQuantConfig> EveryKernelAndConfig() => KernelContractTests.EveryKernelAndConfig();

    private static readonly Gen<ConvShape> Shapes =
        from images in Gen.Int[1, 5]
        from groups in Gen.Int[1, 4]
        from groupChannels in Gen.Int[1, 40]
        from kernel in Size(1, 4)
        from stride in Size(1, 3)
        from dilation in Size(1, 3)
        from padding in Size(0, 4)
        from behind in Size(0, 4)
        from room in Size(0, 14)
        let input = new ConvShape.Sizes(
            Math.Max(1, ((kernel.Height - 1) * dilation.Height) + 1 + room.Height - padding.Height - behind.Height),
            Math.Max(1, ((kernel.Width - 1) * dilation.Width) + 1 + room.Width - padding.Width - behind.Width))
        let height = input.Height + padding.Height + behind.Height - ((kernel.Height - 1) * dilation.Height) - 1
        let width = input.Width + padding.Width + behind.Width - ((kernel.Width - 1) * dilation.Width) - 1
        select new ConvShape
        {
            Images = images,
            Channels = groups * groupChannels,
            Groups = groups,
            Input = input,
            Kernel = kernel,
            Stride = stride,
            Dilation = dilation,
            Padding = padding,
            Output = new ConvShape.Sizes((height / stride.Height) + 1, (width / stride.Width) + 1),
        };

    [Theory, MemberData(nameof(EveryKernelAndConfig))]
    public void Any_shape_gives_the_sums_by_hand(string kernel, BitQuantConfig config) =>
        Gen.Select(Shapes, Gen.Int[1, 40], Gen.Int, Gen.Bool, Gen.Bool).Sample(
            (shape, groupOutputs, seed, hasBias, isDense) =>
                AssertFollowsTheDefinition(kernel, config, shape, shape.Groups * groupOutputs, seed, hasBias, isDense),
            iter: 8);

    // More than one strip, more than one chunk of tokens in a strip, more than one block of pixels.
    [Theory]
    [InlineData(1, 64, 80, 90, 3, 1)]
    [InlineData(1, 700, 9, 7, 3, 1)]
    [InlineData(300, 5, 3, 2, 2, 1)]
    [InlineData(2, 3, 1, 40_000, 1, 1)]
    [InlineData(2, 3, 40_000, 1, 1, 3)]
    public void What_is_larger_than_the_scratch_memory_is_taken_in_parts(
        int images, int channels, int height, int width, int kernel, int groups)
    {
        var shape = new ConvShape
        {
            Images = images,
            Channels = channels,
            Groups = groups,
            Input = new(height, width),
            Kernel = new(kernel, kernel),
            Stride = new(1, 1),
            Dilation = new(1, 1),
            Padding = new(kernel / 2, kernel / 2),
            Output = new(height + (kernel / 2 * 2) - kernel + 1, width + (kernel / 2 * 2) - kernel + 1),
        };
        foreach (ActivationDtype dtype in Enum.GetValues<ActivationDtype>())
            AssertFollowsTheDefinition(null, new BitQuantConfig { ActivationDtype = dtype }, shape, 6, seed: 1, hasBias: true, isDense: false);
    }

    [Fact]
    public void An_image_that_is_not_finite_spares_the_others_unless_they_share_a_range()
    {
        var shape = new ConvShape
        {
            Images = 3,
            Channels = 2,
            Groups = 1,
            Input = new(4, 4),
            Kernel = new(2, 2),
            Stride = new(1, 1),
            Dilation = new(1, 1),
            Output = new(3, 3),
        };
        float[] x = RandomFloats(1, 3 * 32), w = RandomFloats(2, 5 * 8);
        x[40] = float.PositiveInfinity;
        foreach (Granularity granularity in new[] { Granularity.PerToken, Granularity.PerTensor })
        {
            var config = new BitQuantConfig { ActivationGranularity = granularity };
            using PackedTernaryWeights weights = PackedTernaryWeights.Pack(w, 5, 8, Granularity.PerTensor);
            float[] y = Convolve(weights, config, null, x, shape, []);
            for (int i = 0; i < y.Length; i++)
                Assert.Equal(granularity == Granularity.PerTensor || i / 45 == 1, float.IsNaN(y[i]));
        }
    }

    [Fact]
    public void Sums_of_bytes_are_exact()
    {
        for (int length = 0; length < 400; length += 16)
        {
            sbyte[] values = [.. Enumerable.Range(0, length).Select(i => (sbyte)((i * 89) - 128))];
            Assert.Equal(values.Sum(value => value), Absmax.Sum(values));
        }
    }

    private static Gen<ConvShape.Sizes> Size(int from, int to) =>
        Gen.Select(Gen.Int[from, to], Gen.Int[from, to], (height, width) => new ConvShape.Sizes(height, width));

    private static void AssertFollowsTheDefinition(
        string? kernelName, BitQuantConfig config, ConvShape shape, int outputs, int seed, bool hasBias, bool isDense)
    {
        float[] x = RandomFloats(seed, shape.Images * shape.Channels * shape.Input.Count);
        float[] w = RandomFloats(seed + 1, outputs * shape.Columns), bias = hasBias ? RandomFloats(seed + 2, outputs) : [];
        using PackedTernaryWeights twoBit = PackedTernaryWeights.Pack(w, outputs, shape.Columns, config.WeightGranularity);
        using PackedTernaryWeights weights = twoBit.Repack(isDense ? WeightPacking.Dense : WeightPacking.TwoBit);
        float[] expected = ByDefinition(twoBit, config, x, shape, bias);
        Assert.Equal(expected, Convolve(weights, config, kernelName, x, shape, bias));
    }

    // The contract of IBitKernel for every output: integers are exact, and floats are summed in the order of the columns.
    private static float[] ByDefinition(PackedTernaryWeights weights, BitQuantConfig config, float[] x, ConvShape shape, float[] bias)
    {
        sbyte[] trits = new sbyte[weights.Rows * weights.Columns];
        weights.Unpack(trits);
        bool isInt8 = config.ActivationDtype == ActivationDtype.Int8;
        int imageSize = shape.Channels * shape.Input.Count, groupOutputs = weights.Rows / shape.Groups;
        float[] y = new float[shape.Images * weights.Rows * shape.Positions];
        for (int image = 0; image < shape.Images; image++)
        {
            ReadOnlySpan<float> pixels = x.AsSpan(image * imageSize, imageSize);
            float range = Absmax.Range(config.ActivationGranularity == Granularity.PerTensor ? x : pixels);
            sbyte[] quantized = new sbyte[imageSize];
            Absmax.Quantize(pixels, range, quantized);
            for (int output = 0; output < weights.Rows; output++)
            {
                float scale = weights.Scales[weights.Scales.Length == 1 ? 0 : output];
                for (int position = 0; position < shape.Positions; position++)
                {
                    int at = output * weights.Columns, sum = 0;
                    float floatSum = 0;
                    for (int ky = 0; ky < shape.Kernel.Height; ky++)
                    {
                        for (int kx = 0; kx < shape.Kernel.Width; kx++)
                        {
                            int row = (position / shape.Output.Width * shape.Stride.Height) + (ky * shape.Dilation.Height) - shape.Padding.Height;
                            int column = (position % shape.Output.Width * shape.Stride.Width) + (kx * shape.Dilation.Width) - shape.Padding.Width;
                            bool isInside = row >= 0 && row < shape.Input.Height && column >= 0 && column < shape.Input.Width;
                            for (int channel = 0; channel < shape.GroupChannels; channel++, at++)
                            {
                                if (!isInside)
                                    continue;
                                int plane = (output / groupOutputs * shape.GroupChannels) + channel;
                                int pixel = (((plane * shape.Input.Height) + row) * shape.Input.Width) + column;
                                sum += quantized[pixel] * trits[at];
                                floatSum += pixels[pixel] * trits[at];
                            }
                        }
                    }
                    float value = isInt8 ? sum * (scale * (range / 127f)) : floatSum * scale;
                    y[(((image * weights.Rows) + output) * shape.Positions) + position] = bias.Length > 0 ? value + bias[output] : value;
                }
            }
        }
        return y;
    }

    private static unsafe float[] Convolve(
        PackedTernaryWeights weights, BitQuantConfig config, string? kernelName, float[] x, ConvShape shape, float[] bias)
    {
        IBitKernel kernel = kernelName is null
            ? KernelRegistry.GetKernelForConfig(config)
            : KernelRegistry.GetKernelByName(kernelName, config);
        // Sentinels behind the end, and nothing is left unwritten.
        float[] y = new float[(shape.Images * weights.Rows * shape.Positions) + 64];
        Array.Fill(y, -12345);
        fixed (float* xp = x, yp = y, biasp = bias)
            TernaryConv.Forward(weights, config, kernel, xp, shape, biasp, yp);
        Assert.All(y[^64..], value => Assert.Equal(-12345, value));
        return y[..^64];
    }

    private static float[] RandomFloats(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() - .5))];
    }
}
