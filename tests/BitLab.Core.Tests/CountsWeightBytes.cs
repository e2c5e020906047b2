namespace BitLab.Core.Tests;

/// <summary>Tests that compare <see cref="BitLabRuntime.WeightBytesHeld"/> before and after run while no other test
/// does.</summary>
[CollectionDefinition(nameof(CountsWeightBytes), DisableParallelization = true)]
public class CountsWeightBytes;
