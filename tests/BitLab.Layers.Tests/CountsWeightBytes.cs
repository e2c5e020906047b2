namespace BitLab.Layers.Tests;

/// <summary>Tests that count tensors and native bytes before and after run while no other test does.</summary>
[CollectionDefinition(nameof(CountsWeightBytes), DisableParallelization = true)]
public class CountsWeightBytes;
