namespace BitLab.Inference;

/// <summary>What a <see cref="TextGenerator"/> is doing and has done.</summary>
/// <param name="Active">Texts in work.</param>
/// <param name="Waiting">Texts that wait for one of those to end.</param>
/// <param name="PromptTokens">Tokens of prompts computed so far; those taken over from earlier texts are not.</param>
/// <param name="CompletionTokens">Tokens generated so far.</param>
/// <param name="Steps">Steps run so far.</param>
public readonly record struct GeneratorStatistics(int Active, int Waiting, long PromptTokens, long CompletionTokens, long Steps);
