namespace BitLab.Inference;

/// <summary>What somebody said.</summary>
/// <param name="Role">Who: <c>system</c>, <c>user</c> or <c>assistant</c>.</param>
/// <param name="Text">What.</param>
public readonly record struct ChatTurn(string Role, string Text);
