using System.Text;

namespace BitLab.Inference;

/// <summary>Lets text through up to the stop string that is complete first, wherever tokens begin and end; of those that are
/// complete together, the longest. What may yet become one is held back.</summary>
internal sealed class StopStrings
{
    private readonly string[] strings;
    private readonly StringBuilder held = new();

    public StopStrings(IReadOnlyList<string> strings)
    {
        if (strings.Any(string.IsNullOrEmpty))
            throw new ArgumentException("A stop string is empty.", nameof(strings));
        this.strings = [.. strings];
    }

    /// <summary>Whether one came. Nothing is let through any more.</summary>
    public bool IsFound { get; private set; }

    /// <summary>Takes some text.</summary>
    /// <returns>What can be let through.</returns>
    public string Push(ReadOnlySpan<char> text)
    {
        if (IsFound)
            return "";
        if (strings.Length == 0)
            return text.ToString();
        string all = held.Append(text).ToString();
        held.Clear();
        int begin = 0, end = int.MaxValue;
        foreach (string stop in strings)
        {
            int at = all.IndexOf(stop, StringComparison.Ordinal);
            if (at >= 0 && (at + stop.Length < end || (at + stop.Length == end && at < begin)))
                (begin, end) = (at, at + stop.Length);
        }
        if (end < int.MaxValue)
        {
            IsFound = true;
            return all[..begin];
        }
        int kept = HeldLength(all);
        held.Append(all, all.Length - kept, kept);
        return all[..^kept];
    }

    /// <summary>What is held back, when the text has ended.</summary>
    public string Flush()
    {
        string rest = IsFound ? "" : held.ToString();
        held.Clear();
        return rest;
    }

    // The longest end of the text that begins a stop string.
    private int HeldLength(string text)
    {
        int longest = 0;
        foreach (string stop in strings)
        {
            for (int length = Math.Min(stop.Length - 1, text.Length); length > longest; length--)
            {
                if (text.AsSpan(text.Length - length).SequenceEqual(stop.AsSpan(0, length)))
                    longest = length;
            }
        }
        return longest;
    }
}
