using System.Runtime.CompilerServices;

namespace BitLab.Core;

/// <summary>The convolution of images with packed ternary weights: the rows of im2col, a few at a time, multiplied as
/// <see cref="TernaryLinear"/> multiplies tokens.</summary>
/// <remarks>
/// <para>x: (images, channels, height, width), y: (images, outputs, height, width), float32. The columns of the weights are
/// in the order (kernel height, kernel width, channel of the group), so that what a kernel row looks at lies together once the
/// channels of a pixel do; the rows are all groups' outputs in order.</para>
/// <para>What the config calls a token's range is an image's: int8 activations are quantized before im2col, each once, not
/// for every output that looks at them. Zero padding is no part of a range.</para>
/// </remarks>
internal static unsafe class TernaryConv
{
    // What a part has at hand: its input, in rows of outputs that look at it, and its tiles, in tokens. Both fit into the
    // second-level cache.
    private const int InputTarget = 1 << 18, TilesTarget = 1 << 18;

    // Below this, starting a thread takes longer than it saves.
    private const int RangesPerThread = 1 << 17;

    // Bounds what is kept for each token, where a token is a byte or two.
    private const int MaxTokens = 1 << 14;

    /// <summary>Convolves. Nothing is checked; the weights are rented.</summary>
    public static void Forward(
        PackedTernaryWeights weights, BitQuantConfig config, IBitKernel kernel, float* x, in ConvShape shape, float* bias, float* y)
    {
        if (config.ActivationDtype == ActivationDtype.Float32)
        {
            Run<float>(weights, config, kernel, x, shape, null, bias, y);
            return;
        }
        float[] ranges = new float[shape.Images];
        fixed (float* rangesPointer = ranges)
        {
            var job = new RangeJob(x, (long)shape.Channels * shape.Input.Count, shape.Images, rangesPointer);
            ThreadTeam.Run(ref job, (int)Math.Min(shape.Images, (job.Count / RangesPerThread) + 1));
            if (config.ActivationGranularity == Granularity.PerTensor)
            {
                float largest = Absmax.Epsilon;
                // Once NaN, the maximum stays NaN.
                foreach (float range in ranges)
                    largest = MathF.Max(largest, range);
                Array.Fill(ranges, largest);
            }
            Run<sbyte>(weights, config, kernel, x, shape, rangesPointer, bias, y);
        }
    }

    private static void Run<T>(
        PackedTernaryWeights weights, BitQuantConfig config, IBitKernel kernel, float* x, in ConvShape shape, float* ranges,
        float* bias, float* y)
        where T : unmanaged
    {
        int rows = shape.Images * shape.Output.Height;
        long multiplications = (long)rows * shape.Output.Width * weights.Rows * weights.Columns;
        int parts = (int)Math.Clamp(
            multiplications / TernaryLinear.MultiplicationsPerThread, 1, Math.Min(rows, ThreadTeam.NumThreads));
        var room = Room.For<T>(shape, weights, !kernel.Reads(weights.Packing, config), (rows + parts - 1) / parts);
        byte* scratch = TernaryLinear.Scratch(parts * room.ByteCount);
        var job = new ConvJob<T>(weights, kernel, x, shape, ranges, bias, y, room, scratch);
        ThreadTeam.Run(ref job, parts);
    }

    private readonly struct RangeJob(float* x, long imageSize, int images, float* ranges) : IParallelJob
    {
        public long Count => imageSize * images;

        public void Run(int part, int parts)
        {
            int end = IParallelJob.FirstOf(part + 1, parts, images);
            for (int image = IParallelJob.FirstOf(part, parts, images); image < end; image++)
                ranges[image] = TernaryLinear.RangeOf(x + (image * imageSize), imageSize);
        }
    }

    /// <summary>How much a part takes at a time, and where in its scratch memory things lie.</summary>
    private readonly struct Room
    {
        /// <summary>Rows of outputs, of one image or several, whose input is at hand.</summary>
        public int StripRows { get; private init; }

        /// <summary>Tokens whose tiles are at hand.</summary>
        public int Tokens { get; private init; }

        /// <summary>Whether a panel is expanded before it is multiplied.</summary>
        public bool Expands { get; private init; }

        // Offsets. The input of the strip comes first.
        public long Block { get; private init; }

        public long Offsets { get; private init; }

        public long Scales { get; private init; }

        public long Rows { get; private init; }

        public long Tiles { get; private init; }

        public long Sums { get; private init; }

        public long Output { get; private init; }

        public long Expanded { get; private init; }

        public long ByteCount { get; private init; }

        public static Room For<T>(in ConvShape shape, PackedTernaryWeights weights, bool expands, int rows)
            where T : unmanaged
        {
            int stripRows = Math.Min(rows, Math.Max(1, MaxTokens / shape.Output.Width));
            while (stripRows > 1 && InputBytes(shape, stripRows, sizeof(T)) > InputTarget)
                stripRows = (stripRows + 1) / 2;
            int stripTokens = stripRows * shape.Output.Width;

            int padded = PanelLayout.PaddedColumns(weights.Columns, weights.Packing);
            int outputs = SliceOutputs(shape, weights.Rows);
            const int Tile = TernaryProduct.TileTokens;
            long bytesPerToken = (padded * sizeof(T)) + (outputs * sizeof(float));
            int tokens = (int)Math.Max(1, Math.Min(TilesTarget / (bytesPerToken * Tile), (stripTokens + Tile - 1) / Tile)) * Tile;

            long end = 0;
            Reserve(ref end, InputBytes(shape, stripRows, sizeof(T)));
            return new Room
            {
                StripRows = stripRows,
                Tokens = tokens,
                Expands = expands,
                Block = Reserve(ref end, (long)shape.Channels * ConvJob<T>.BlockPixels),
                Offsets = Reserve(ref end, (long)stripTokens * sizeof(int)),
                Scales = Reserve(ref end, (long)stripTokens * sizeof(float)),
                Rows = Reserve(ref end, (long)ActivationTiles.TogetherTokens * padded * sizeof(T)),
                Tiles = Reserve(ref end, (long)tokens * padded * sizeof(T)),
                Sums = Reserve(ref end, (long)tokens * sizeof(int)),
                Output = Reserve(ref end, (long)tokens * outputs * sizeof(float)),
                Expanded = Reserve(ref end, expands ? PanelLayout.PanelBytes(padded, WeightPacking.TwoBit) : 0),
                ByteCount = end,
            };
        }

        // The input of a strip, whose images may begin and end within it.
        private static long InputBytes(in ConvShape shape, int rows, int elementSize)
        {
            int images = Math.Min(rows, ((rows - 2) / shape.Output.Height) + 2);
            long inputRows = ((long)rows * shape.Stride.Height) + ((long)images * shape.RowsBelow(1));
            return inputRows * shape.PaddedWidth * shape.Channels * elementSize;
        }

        // The outputs of the panels that hold a group's rows: up to a panel more than the group has.
        private static int SliceOutputs(in ConvShape shape, int outputs)
        {
            int groupOutputs = outputs / shape.Groups;
            int panels = Math.Min(PanelLayout.Panels(groupOutputs) + (shape.Groups > 1 ? 1 : 0), PanelLayout.Panels(outputs));
            return panels * PanelLayout.PanelRows;
        }

        private static long Reserve(ref long end, long byteCount)
        {
            long start = end;
            end += (byteCount + NativeBuffer.Alignment - 1) / NativeBuffer.Alignment * NativeBuffer.Alignment;
            return start;
        }
    }

    /// <summary>Some rows of outputs, from the input to the output: no part waits for another.</summary>
    /// <typeparam name="T">What is multiplied: sbyte or float.</typeparam>
    private readonly struct ConvJob<T>(
        PackedTernaryWeights weights, IBitKernel kernel, float* x, ConvShape shape, float* ranges, float* bias, float* y, Room room,
        byte* scratch)
        : IParallelJob
        where T : unmanaged
    {
        /// <summary>Pixels that are quantized at a time, before their channels are laid side by side.</summary>
        public const int BlockPixels = 64;

        private int PaddedColumns => PanelLayout.PaddedColumns(weights.Columns, weights.Packing);

        public void Run(int part, int parts)
        {
            int rows = shape.Images * shape.Output.Height, end = IParallelJob.FirstOf(part + 1, parts, rows);
            byte* own = scratch + (part * room.ByteCount);
            // The columns that pad a row stay zero.
            new Span<T>(own + room.Rows, ActivationTiles.TogetherTokens * PaddedColumns).Clear();
            for (int row = IParallelJob.FirstOf(part, parts, rows); row < end; row += room.StripRows)
                Strip(own, row, Math.Min(row + room.StripRows, end));
        }

        private void Strip(byte* own, int firstRow, int endRow)
        {
            int height = shape.Output.Height, width = shape.Output.Width;
            T* input = (T*)own;
            int* offsets = (int*)(own + room.Offsets);
            float* scales = (float*)(own + room.Scales);
            int at = 0, tokens = 0;
            for (int row = firstRow; row < endRow;)
            {
                int image = row / height, first = row % height, count = Math.Min(height - first, endRow - row);
                FillInput(image, first * shape.Stride.Height, shape.RowsBelow(count), input + at, own + room.Block);
                for (int token = 0; token < count * width; token++, tokens++)
                {
                    int pixel = (token / width * shape.Stride.Height * shape.PaddedWidth) + (token % width * shape.Stride.Width);
                    offsets[tokens] = at + (pixel * shape.Channels);
                    if (ranges != null)
                        scales[tokens] = ranges[image] / 127f;
                }
                at += shape.RowsBelow(count) * shape.PaddedWidth * shape.Channels;
                row += count;
            }
            for (int group = 0; group < shape.Groups; group++)
            {
                for (int token = 0; token < tokens; token += room.Tokens)
                {
                    int count = Math.Min(room.Tokens, tokens - token);
                    FillTiles(own, input + (group * shape.GroupChannels), offsets + token, count);
                    Multiply(own, group, scales + token, count, ((long)firstRow * width) + token);
                }
            }
        }

        /// <summary>Some rows of an image with its padding, quantized, the channels of a pixel side by side.</summary>
        /// <param name="image">Which.</param>
        /// <param name="firstRow">The first row, counted with the padding.</param>
        /// <param name="rows">How many.</param>
        /// <param name="target">(rows, padded width, channels).</param>
        /// <param name="block">Room for a block of pixels.</param>
        private void FillInput(int image, int firstRow, int rows, T* target, byte* block)
        {
            int channels = shape.Channels, width = shape.Input.Width, paddedWidth = shape.PaddedWidth;
            int begin = Math.Max(firstRow - shape.Padding.Height, 0);
            int end = Math.Min(firstRow + rows - shape.Padding.Height, shape.Input.Height);
            if (shape.Padding.Width > 0 || width < paddedWidth || end - begin < rows)
                Unsafe.InitBlockUnaligned(target, 0, checked((uint)((long)rows * paddedWidth * channels * sizeof(T))));
            // Where the kernel does not reach the right edge, what lies behind its reach is left out.
            int used = Math.Min(width, paddedWidth - shape.Padding.Width);
            if (begin >= end || used <= 0)
                return;
            float* plane = x + ((((long)image * channels * shape.Input.Height) + begin) * width);
            T* first = target + ((long)(((begin + shape.Padding.Height - firstRow) * paddedWidth) + shape.Padding.Width) * channels);
            bool isDense = used == width && used == paddedWidth;
            // Rows without padding between them are one long row.
            int lineWidth = isDense ? width * (end - begin) : used, lines = isDense ? 1 : end - begin;
            for (int line = 0; line < lines; line++)
            {
                for (int pixel = 0; pixel < lineWidth; pixel += BlockPixels)
                {
                    FillPixels(
                        image, plane + ((long)line * width) + pixel, Math.Min(BlockPixels, lineWidth - pixel),
                        first + ((((long)line * paddedWidth) + pixel) * channels), block);
                }
            }
        }

        // `source` is in the first channel's plane.
        private void FillPixels(int image, float* source, int count, T* target, byte* block)
        {
            int channels = shape.Channels;
            long planeSize = shape.Input.Count;
            if (typeof(T) == typeof(float))
            {
                for (int channel = 0; channel < channels; channel++, source += planeSize)
                {
                    for (int pixel = 0; pixel < count; pixel++)
                        ((float*)target)[((long)pixel * channels) + channel] = source[pixel];
                }
                return;
            }
            for (int channel = 0; channel < channels; channel++, source += planeSize)
            {
                Absmax.Quantize(
                    new ReadOnlySpan<float>(source, count), ranges[image], new Span<sbyte>(block + (channel * BlockPixels), count));
            }
            for (int pixel = 0; pixel < count; pixel++)
            {
                byte* from = block + pixel, to = (byte*)target + ((long)pixel * channels);
                int channel = 0;
                for (; channel + 4 <= channels; channel += 4, from += 4 * BlockPixels)
                {
                    uint four = from[0] | ((uint)from[BlockPixels] << 8) | ((uint)from[2 * BlockPixels] << 16)
                        | ((uint)from[3 * BlockPixels] << 24);
                    Unsafe.WriteUnaligned(to + channel, four);
                }
                for (; channel < channels; channel++, from += BlockPixels)
                    to[channel] = *from;
            }
        }

        /// <summary>The rows of im2col, laid out in tiles.</summary>
        private void FillTiles(byte* own, T* input, int* offsets, int tokens)
        {
            T* rows = (T*)(own + room.Rows);
            int* sums = (int*)(own + room.Sums);
            int padded = PaddedColumns, ints = padded * sizeof(T) / sizeof(int);
            for (int first = 0; first < tokens; first += TernaryProduct.TileTokens)
            {
                int tileTokens = Math.Min(TernaryProduct.TileTokens, tokens - first);
                int* tile = (int*)(own + room.Tiles) + ((long)first * ints);
                for (int i = 0; i < tileTokens; i += ActivationTiles.TogetherTokens)
                {
                    int together = Math.Min(ActivationTiles.TogetherTokens, tileTokens - i);
                    for (int j = 0; j < together; j++)
                    {
                        T* row = rows + (j * padded);
                        FillRow(input + offsets[first + i + j], row);
                        if (typeof(T) == typeof(sbyte))
                            sums[first + i + j] = Absmax.Sum(new ReadOnlySpan<sbyte>(row, padded));
                    }
                    ActivationTiles.Interleave((int*)rows, ints, together, tile + i, tileTokens, ints);
                }
            }
        }

        private void FillRow(T* source, T* row)
        {
            int channels = shape.Channels, length = shape.GroupChannels, runs = shape.Kernel.Width;
            // Neighbours lie side by side, unless pixels or channels are left out between them.
            if (shape.Groups == 1 && shape.Dilation.Width == 1)
                (length, runs) = (length * runs, 1);
            long down = (long)shape.Dilation.Height * shape.PaddedWidth * channels, right = (long)shape.Dilation.Width * channels;
            for (int kernelRow = 0; kernelRow < shape.Kernel.Height; kernelRow++, source += down)
            {
                T* from = source;
                for (int run = 0; run < runs; run++, from += right, row += length)
                {
                    if (length == 1)
                        *row = *from;
                    else
                        Unsafe.CopyBlockUnaligned(row, from, (uint)(length * sizeof(T)));
                }
            }
        }

        private void Multiply(byte* own, int group, float* scales, int tokens, long position)
        {
            int groupOutputs = weights.Rows / shape.Groups, firstOutput = group * groupOutputs;
            int firstPanel = firstOutput / PanelLayout.PanelRows, endPanel = PanelLayout.Panels(firstOutput + groupOutputs);
            byte* tiles = own + room.Tiles;
            float* output = (float*)(own + room.Output);
            bool isInt8 = typeof(T) == typeof(sbyte);
            TernaryProduct product = new TernaryProduct(
                tokens, weights, isInt8 ? (sbyte*)tiles : null, isInt8 ? null : (float*)tiles,
                isInt8 ? scales : null, isInt8 ? (int*)(own + room.Sums) : null, bias, output)
                .OfPanels(firstPanel, endPanel);
            TernaryLinear.Multiply(kernel, product, room.Expands ? own + room.Expanded : null, maxParts: 1);

            // From (tokens, outputs of the panels) to (outputs, positions), image by image.
            float* source = output + (firstOutput - (firstPanel * PanelLayout.PanelRows));
            for (int token = 0; token < tokens;)
            {
                int image = (int)(position / shape.Positions), at = (int)(position % shape.Positions);
                int count = Math.Min(shape.Positions - at, tokens - token);
                float* target = y + ((((long)image * weights.Rows) + firstOutput) * shape.Positions) + at;
                for (int i = 0; i < count; i += ActivationTiles.TogetherTokens)
                {
                    ActivationTiles.Interleave(
                        (int*)(source + ((long)(token + i) * product.Outputs)), product.Outputs,
                        Math.Min(ActivationTiles.TogetherTokens, count - i), (int*)target + i, shape.Positions, groupOutputs);
                }
                token += count;
                position += count;
            }
        }
    }
}
