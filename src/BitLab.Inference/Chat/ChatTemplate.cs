namespace BitLab.Inference;

/// <summary>How a model was taught to read conversations.</summary>
/// <remarks>Files say it in the language Jinja. BitLab runs no Jinja: it knows the common templates by what is particular to
/// them, and takes a function for others. What people write never becomes a special token.</remarks>
public sealed class ChatTemplate
{
    private readonly Func<IReadOnlyList<ChatTurn>, IEnumerable<ChatPart>> render;

    /// <summary>A template of one's own.</summary>
    /// <param name="name">What it is called.</param>
    /// <param name="render">From the turns to what the model reads, up to where its answer begins; without the token that
    /// begins a text.</param>
    /// <param name="stopTokens">The special tokens that end an answer, beside those of the model's config.</param>
    public ChatTemplate(string name, Func<IReadOnlyList<ChatTurn>, IEnumerable<ChatPart>> render, IReadOnlyList<string> stopTokens)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(render);
        ArgumentNullException.ThrowIfNull(stopTokens);
        Name = name;
        this.render = render;
        StopTokens = stopTokens;
    }

    /// <summary>That of BitNet b1.58 2B4T: <c>User: …&lt;|eot_id|&gt;Assistant: </c>.</summary>
    public static ChatTemplate BitNet { get; } = new("bitnet", RenderBitNet, ["<|eot_id|>"]);

    /// <summary>That of Llama 3: <c>&lt;|start_header_id|&gt;user&lt;|end_header_id|&gt;</c>, two line ends, the text,
    /// <c>&lt;|eot_id|&gt;</c>.</summary>
    public static ChatTemplate Llama3 { get; } = new("llama3", RenderLlama3, ["<|eot_id|>", "<|eom_id|>"]);

    /// <summary>ChatML: <c>&lt;|im_start|&gt;user</c>, a line end, the text, <c>&lt;|im_end|&gt;</c>, a line end.</summary>
    public static ChatTemplate ChatMl { get; } = new("chatml", RenderChatMl, ["<|im_end|>"]);

    /// <summary>What it is called.</summary>
    public string Name { get; }

    /// <summary>The special tokens that end an answer.</summary>
    public IReadOnlyList<string> StopTokens { get; }

    /// <summary>Recognizes a template by its Jinja text.</summary>
    /// <param name="jinja">The text, as <see cref="BitNetTokenizer.ChatTemplate"/> has it.</param>
    /// <returns>The template.</returns>
    /// <exception cref="NotSupportedException">It is none of those that BitLab knows.</exception>
    public static ChatTemplate Recognize(string jinja)
    {
        ArgumentNullException.ThrowIfNull(jinja);
        if (jinja.Contains("<|start_header_id|>", StringComparison.Ordinal) && jinja.Contains("<|eot_id|>", StringComparison.Ordinal))
            return Llama3;
        if (jinja.Contains("<|im_start|>", StringComparison.Ordinal) && jinja.Contains("<|im_end|>", StringComparison.Ordinal))
            return ChatMl;
        // The template in the published GGUF file is another than the model's own, which is the one to use.
        if (jinja.Contains("BITNETAssistant", StringComparison.Ordinal)
            || (jinja.Contains("capitalize", StringComparison.Ordinal) && jinja.Contains("<|eot_id|>", StringComparison.Ordinal)
                && jinja.Contains("Assistant: ", StringComparison.Ordinal)))
            return BitNet;
        const int Shown = 80;
        throw new NotSupportedException(
            "BitLab knows the chat templates bitnet, llama3 and chatml, and this is none of them: "
            + $"'{(jinja.Length > Shown ? jinja[..Shown] + "..." : jinja)}'. Give a ChatTemplate with a function of your own.");
    }

    /// <summary>The template of a model: what its tokenizer came with, or, where that says nothing, BitNet's for models of type
    /// <c>bitnet</c>.</summary>
    /// <param name="generator">The model.</param>
    /// <returns>The template.</returns>
    /// <exception cref="NotSupportedException">There is none, or none that BitLab knows.</exception>
    public static ChatTemplate For(TextGenerator generator)
    {
        ArgumentNullException.ThrowIfNull(generator);
        if (generator.Tokenizer.ChatTemplate is string jinja)
            return Recognize(jinja);
        return generator.Runner.Config.ModelType == Core.BitNetConfig.BitNetType
            ? BitNet
            : throw new NotSupportedException("The model came without a chat template. Give one: bitnet, llama3, chatml or your own.");
    }

    /// <summary>The tokens of a conversation, up to where the model's answer begins.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="turns">What was said.</param>
    /// <returns>The tokens, with the one that begins a text.</returns>
    /// <exception cref="InvalidDataException">The vocabulary lacks a special token of the template.</exception>
    public IReadOnlyList<int> Render(BitNetTokenizer tokenizer, IReadOnlyList<ChatTurn> turns)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentNullException.ThrowIfNull(turns);
        var tokens = new List<int>();
        if (tokenizer.BeginOfText is int begin)
            tokens.Add(begin);
        // Text between special tokens is one text, as its words may reach from one part to the next.
        var text = new System.Text.StringBuilder();
        foreach (ChatPart part in render(turns))
        {
            if (!part.IsSpecial)
            {
                text.Append(part.Text);
                continue;
            }
            Flush();
            tokens.Add(Special(tokenizer, part.Text));
        }
        Flush();
        return tokens;

        void Flush()
        {
            tokens.AddRange(tokenizer.Encode(text.ToString(), addBeginOfText: false));
            text.Clear();
        }
    }

    /// <summary>The numbers of <see cref="StopTokens"/>; those that a vocabulary lacks are left out.</summary>
    internal IReadOnlyList<int> StopTokenNumbers(BitNetTokenizer tokenizer) =>
        [.. StopTokens.Select(tokenizer.SpecialToken).OfType<int>()];

    private int Special(BitNetTokenizer tokenizer, string content) =>
        tokenizer.SpecialToken(content)
        ?? throw new InvalidDataException($"The chat template {Name} needs the special token {content}, which the vocabulary lacks.");

    private static IEnumerable<ChatPart> RenderBitNet(IReadOnlyList<ChatTurn> turns)
    {
        foreach (ChatTurn turn in turns)
        {
            string role = turn.Role.Length == 0 ? "" : char.ToUpperInvariant(turn.Role[0]) + turn.Role[1..].ToLowerInvariant();
            yield return new ChatPart($"{role}: {turn.Text.Trim()}");
            yield return new ChatPart("<|eot_id|>", IsSpecial: true);
        }
        yield return new ChatPart("Assistant: ");
    }

    private static IEnumerable<ChatPart> RenderLlama3(IReadOnlyList<ChatTurn> turns)
    {
        foreach (ChatTurn turn in turns)
        {
            foreach (ChatPart part in Header(turn.Role))
                yield return part;
            yield return new ChatPart(turn.Text.Trim());
            yield return new ChatPart("<|eot_id|>", IsSpecial: true);
        }
        foreach (ChatPart part in Header("assistant"))
            yield return part;

        static IEnumerable<ChatPart> Header(string role) =>
        [
            new("<|start_header_id|>", IsSpecial: true), new(role), new("<|end_header_id|>", IsSpecial: true), new("\n\n"),
        ];
    }

    private static IEnumerable<ChatPart> RenderChatMl(IReadOnlyList<ChatTurn> turns)
    {
        foreach (ChatTurn turn in turns)
        {
            yield return new ChatPart("<|im_start|>", IsSpecial: true);
            yield return new ChatPart($"{turn.Role}\n{turn.Text}");
            yield return new ChatPart("<|im_end|>", IsSpecial: true);
            yield return new ChatPart("\n");
        }
        yield return new ChatPart("<|im_start|>", IsSpecial: true);
        yield return new ChatPart("assistant\n");
    }
}
