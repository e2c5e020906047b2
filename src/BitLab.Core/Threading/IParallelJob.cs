namespace BitLab.Core;

/// <summary>Work that is cut into parts, which may run at the same time. A struct, so that starting it allocates
/// nothing.</summary>
internal interface IParallelJob
{
    /// <summary>Does one part.</summary>
    /// <param name="part">Which, 0 to <paramref name="parts"/> - 1.</param>
    /// <param name="parts">Of how many.</param>
    void Run(int part, int parts);

    /// <summary>Where a part begins when <paramref name="count"/> things are divided evenly, in order.</summary>
    static int FirstOf(int part, int parts, int count) => (int)((long)count * part / parts);
}
