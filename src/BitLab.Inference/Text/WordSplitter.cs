using System.Text.RegularExpressions;
using Microsoft.ML.Tokenizers;

namespace BitLab.Inference;

/// <summary>The pre-tokenizer of a tokenizer.json: patterns, each of which splits what those before it left
/// together.</summary>
internal sealed class WordSplitter(IReadOnlyList<WordSplitter.Step> steps) : PreTokenizer
{
    /// <summary>What becomes of the matches of a pattern.</summary>
    public enum Matches
    {
        /// <summary>Each is a word.</summary>
        Isolated,

        /// <summary>Each is a word, those that touch are one.</summary>
        Contiguous,

        /// <summary>They are dropped.</summary>
        Removed,

        /// <summary>Each belongs to what is before it.</summary>
        MergedWithPrevious,

        /// <summary>Each belongs to what is behind it.</summary>
        MergedWithNext,
    }

    /// <summary>GPT-2's words.</summary>
    public const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    /// <summary>Llama 3's words, which BitNet 2B4T uses too.</summary>
    public const string Llama3Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    // A pattern from a file must not hang the process.
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    public static WordSplitter Of(string pattern) => new([Step.Of(pattern, Matches.Isolated)]);

    public override IEnumerable<(int Offset, int Length)> PreTokenize(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        List<(int Offset, int Length)> words = [(0, text.Length)];
        foreach (Step step in steps)
        {
            var split = new List<(int Offset, int Length)>();
            foreach ((int offset, int length) in words)
                step.Split(text, offset, length, split);
            words = split;
        }
        return words;
    }

    public override IEnumerable<(int Offset, int Length)> PreTokenize(ReadOnlySpan<char> text) => PreTokenize(text.ToString());

    /// <summary>One pattern.</summary>
    public sealed record Step(Regex Pattern, Matches Matches)
    {
        public static Step Of(string pattern, Matches matches) => new(new Regex(pattern, RegexOptions.CultureInvariant, Limit), matches);

        public void Split(string text, int offset, int length, List<(int Offset, int Length)> words)
        {
            // The pattern sees this word alone, so that what it looks for behind a word is not the next one.
            string word = offset == 0 && length == text.Length ? text : text.Substring(offset, length);
            int rest = 0;
            bool isAfterMatch = false;
            foreach (ValueMatch match in Pattern.EnumerateMatches(word))
            {
                if (match.Length == 0)
                    continue;
                bool touches = isAfterMatch && match.Index == rest;
                if (Matches == Matches.MergedWithPrevious)
                {
                    words.Add((offset + rest, match.Index + match.Length - rest));
                }
                else if (Matches == Matches.MergedWithNext)
                {
                    Add(match.Index);
                    rest = match.Index;
                    continue;
                }
                else
                {
                    Add(match.Index);
                    if (Matches == Matches.Contiguous && touches)
                        words[^1] = (words[^1].Offset, words[^1].Length + match.Length);
                    else if (Matches != Matches.Removed)
                        words.Add((offset + match.Index, match.Length));
                }
                rest = match.Index + match.Length;
                isAfterMatch = true;
            }
            Add(length);

            void Add(int end)
            {
                if (end > rest)
                    words.Add((offset + rest, end - rest));
            }
        }
    }
}
