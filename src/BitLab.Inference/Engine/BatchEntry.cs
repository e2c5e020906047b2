namespace BitLab.Inference;

/// <summary>A sequence's tokens within a step.</summary>
/// <param name="Sequence">The sequence.</param>
/// <param name="FirstRow">The row of its first token among all tokens of the step.</param>
/// <param name="Count">Its tokens.</param>
/// <param name="FirstLogitRow">The row of its first logits.</param>
/// <param name="LogitRows">Of how many tokens, the last ones, there are logits.</param>
internal readonly record struct BatchEntry(BitNetSequence Sequence, int FirstRow, int Count, int FirstLogitRow, int LogitRows);
