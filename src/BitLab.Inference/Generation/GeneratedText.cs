namespace BitLab.Inference;

/// <summary>A piece of a text that is being generated.</summary>
/// <param name="Text">What has been added: often one token's text, sometimes nothing.</param>
/// <param name="Token">The token, or null in a piece that only ends the text.</param>
/// <param name="PromptTokens">Tokens of the prompt.</param>
/// <param name="CompletionTokens">Tokens generated so far, one that ended the text included.</param>
/// <param name="Finish">In the last piece, why the text ended; else null.</param>
public readonly record struct GeneratedText(string Text, int? Token, int PromptTokens, int CompletionTokens, FinishReason? Finish);
