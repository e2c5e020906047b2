namespace BitLab.Models.Tests;

/// <summary>Tests that count tensors and native bytes before and after run while no other test does.</summary>
[CollectionDefinition(nameof(CountsTensors), DisableParallelization = true)]
public class CountsTensors;
