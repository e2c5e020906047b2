namespace BitLab.Benchmarks;

/// <summary>What a run measures.</summary>
/// <param name="Name">What the results call it.</param>
/// <param name="Shapes">The layers, multiplied again and again.</param>
/// <param name="Tokens">The numbers of tokens, M.</param>
/// <param name="ColdShapes">The layers of which several are cycled through, one token each.</param>
/// <param name="Rounds">How often each contestant is timed.</param>
/// <param name="BlockSeconds">How long each time, at least.</param>
internal sealed record Plan(
    string Name, Shape[] Shapes, int[] Tokens, Shape[] ColdShapes, int Rounds, double BlockSeconds)
{
    /// <summary>The layer that the plot shows.</summary>
    public static Shape PlotShape { get; } = new(4096, 4096);

    public static Plan Quick { get; } = new(
        "quick",
        [new(1024, 1024), new(2560, 6912), PlotShape],
        [1, 32, 512],
        [new(8192, 8192)],
        Rounds: 6,
        BlockSeconds: 0.004);

    public static Plan Full { get; } = new(
        "full",
        [
            new(1024, 1024), new(2560, 2560), new(2560, 6912), new(6912, 2560), PlotShape, new(4096, 14336), new(8192, 8192),
        ],
        [1, 8, 32, 128, 512],
        [PlotShape, new(8192, 8192)],
        Rounds: 15,
        BlockSeconds: 0.006);
}
