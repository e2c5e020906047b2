namespace BitLab.Docs.Tests;

/// <summary>Tests that capture the console run one after the other.</summary>
[CollectionDefinition(nameof(ConsoleCollection), DisableParallelization = true)]
public class ConsoleCollection;
