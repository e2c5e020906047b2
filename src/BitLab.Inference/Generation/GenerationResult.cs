namespace BitLab.Inference;

/// <summary>A whole generated text.</summary>
/// <param name="Text">The text, without the prompt.</param>
/// <param name="Finish">Why it ended.</param>
/// <param name="PromptTokens">Tokens of the prompt.</param>
/// <param name="CompletionTokens">Tokens generated, one that ended the text included.</param>
public sealed record GenerationResult(string Text, FinishReason Finish, int PromptTokens, int CompletionTokens);
