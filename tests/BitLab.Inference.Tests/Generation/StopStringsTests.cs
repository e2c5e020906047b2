using CsCheck;

namespace BitLab.Inference.Tests;

public class StopStringsTests
{
    [Fact]
    public void A_stop_string_is_found_however_the_text_is_cut()
    {
        Gen.Select(Gen.String[Gen.Char["abc"], 0, 30], Gen.String[Gen.Char["abc"], 1, 4].Array[0, 3], Gen.Int[1, 5].Array[30]).Sample((text, stops, cuts) =>
        {
            (int End, int Begin)[] found = [.. stops.Select(stop => (text.IndexOf(stop, StringComparison.Ordinal), stop.Length))
                .Where(at => at.Item1 >= 0).Select(at => (at.Item1 + at.Length, at.Item1))];
            string expected = found.Length == 0 ? text : text[..found.Min().Begin];
            var filter = new StopStrings(stops);
            string got = "";
            for (int at = 0, i = 0; at < text.Length; at += cuts[i++])
                got += filter.Push(text.AsSpan(at, Math.Min(cuts[i], text.Length - at)));
            got += filter.Flush();
            Assert.Equal(expected, got);
            Assert.Equal(found.Length > 0, filter.IsFound);
        });
    }

    [Fact]
    public void Only_what_may_become_a_stop_string_is_held_back()
    {
        var filter = new StopStrings(["</s>", "\n\n"]);
        Assert.Equal("a", filter.Push("a<"));
        Assert.Equal("<b", filter.Push("b"));
        Assert.Equal("", filter.Push("\n"));
        Assert.Equal("\nc", filter.Push("c"));
        Assert.Equal("d", filter.Push("d</s>e"));
        Assert.Equal("", filter.Push("f"));
        Assert.Throws<ArgumentException>(() => new StopStrings([""]));
    }
}
