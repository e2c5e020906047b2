using System.Text;

namespace BitLab.Inference.Tests;

public class Utf8PiecesTests
{
    [Fact]
    public void A_character_appears_with_its_last_byte()
    {
        var pieces = new Utf8Pieces();
        byte[] bytes = Encoding.UTF8.GetBytes("é👩");
        string[] got = [.. bytes.Select(value => pieces.Push([value]))];
        Assert.Equal(["", "é", "", "", "", "👩"], got);
        Assert.Equal("", pieces.Flush());
    }

    [Fact]
    public void Bytes_that_are_no_text_become_the_replacement_character()
    {
        var pieces = new Utf8Pieces();
        Assert.Equal("\uFFFDa", pieces.Push([0xFF, (byte)'a']));
        Assert.Equal("", pieces.Push([0xF0, 0x9F]));
        Assert.Equal("\uFFFD", pieces.Flush());
    }
}
