namespace BitLab.Models.Tests;

/// <summary>Tests that take LibTorch's random numbers, of which there is one sequence for all threads.</summary>
[CollectionDefinition(nameof(UsesRandomNumbers), DisableParallelization = true)]
public sealed class UsesRandomNumbers;
