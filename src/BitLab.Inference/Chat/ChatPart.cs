namespace BitLab.Inference;

/// <summary>A piece of a conversation as a model reads it.</summary>
/// <param name="Text">The text, or how a special token is written.</param>
/// <param name="IsSpecial">Whether it is a special token. Text that spells one out without this is plain text.</param>
public readonly record struct ChatPart(string Text, bool IsSpecial = false);
