namespace BitLab.Core;

/// <summary>The sizes of a two-dimensional convolution. One of one dimension has a width of 1.</summary>
internal readonly record struct ConvShape
{
    /// <summary>Inputs in the batch, which share no range.</summary>
    public int Images { get; init; }

    /// <summary>Channels of the input; a group has its part of them.</summary>
    public int Channels { get; init; }

    public int Groups { get; init; }

    public Sizes Input { get; init; }

    public Sizes Kernel { get; init; }

    public Sizes Stride { get; init; }

    public Sizes Dilation { get; init; }

    /// <summary>Zeros before the first row and the first column. Those behind the last follow from the other sizes.</summary>
    public Sizes Padding { get; init; }

    public Sizes Output { get; init; }

    /// <summary>Columns of the packed weights.</summary>
    public int Columns => Kernel.Count * GroupChannels;

    public int GroupChannels => Channels / Groups;

    /// <summary>Positions of one output channel.</summary>
    public int Positions => Output.Count;

    /// <summary>Pixels from one row of the padded input to the next: as many as the outputs of a row look at.</summary>
    public int PaddedWidth => Extent(Output.Width, Stride.Width, Kernel.Width, Dilation.Width);

    /// <summary>Rows of the padded input that some rows of outputs look at.</summary>
    public int RowsBelow(int outputRows) => Extent(outputRows, Stride.Height, Kernel.Height, Dilation.Height);

    private static int Extent(int outputs, int stride, int kernel, int dilation) =>
        ((outputs - 1) * stride) + ((kernel - 1) * dilation) + 1;

    /// <summary>A size in both directions.</summary>
    internal readonly record struct Sizes(int Height, int Width)
    {
        public int Count => Height * Width;
    }
}
