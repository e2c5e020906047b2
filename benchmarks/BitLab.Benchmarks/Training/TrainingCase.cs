namespace BitLab.Benchmarks;

/// <summary>A network that is trained, and what its ternary form may cost.</summary>
/// <param name="Width">Of its three layers.</param>
/// <param name="Batch">Samples in a step.</param>
/// <param name="Asked">The time of a step over that of <c>nn.Linear</c>, at most.</param>
/// <param name="Rounds">How often each network takes a turn.</param>
/// <param name="Steps">How many steps a turn has.</param>
internal sealed record TrainingCase(int Width, int Batch, double Asked, int Rounds, int Steps)
{
    public static IReadOnlyList<TrainingCase> All { get; } =
    [
        new(Width: 1024, Batch: 256, Asked: 1.10, Rounds: 40, Steps: 4),
        new(Width: 4096, Batch: 512, Asked: 1.05, Rounds: 9, Steps: 1),
    ];

    public override string ToString() => $"3 × {Width}, batch {Batch}";
}
