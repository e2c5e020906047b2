using Accuracy.Data;

namespace BitLab.Docs.Tests.Accuracy;

public class IdxFileTests
{
    [Fact]
    public void Sizes_and_values_are_read()
    {
        IdxFile file = IdxFile.Parse([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255], "x");
        Assert.Equal([2, 3], file.Shape);
        Assert.Equal([1, 2, 3, 4, 5, 255], file.Values);
    }

    [Theory]
    [InlineData("another magic number", new byte[] { 0, 1, 8, 1, 0, 0, 0, 1, 9 })]
    [InlineData("another type", new byte[] { 0, 0, 13, 1, 0, 0, 0, 1, 9 })]
    [InlineData("a header cut off", new byte[] { 0, 0, 8, 2, 0, 0, 0, 1 })]
    [InlineData("a value too few", new byte[] { 0, 0, 8, 1, 0, 0, 0, 2, 9 })]
    [InlineData("a value too many", new byte[] { 0, 0, 8, 1, 0, 0, 0, 1, 9, 9 })]
    [InlineData("a negative size", new byte[] { 0, 0, 8, 1, 255, 255, 255, 255 })]
    [InlineData("sizes whose product overflows", new byte[] { 0, 0, 8, 3, 127, 255, 255, 255, 127, 255, 255, 255, 0, 0, 0, 4 })]
    public void What_is_wrong_is_said_by_the_name_of_the_file(string what, byte[] bytes)
    {
        var error = Assert.Throws<InvalidDataException>(() => IdxFile.Parse(bytes, "the file"));
        Assert.True(error.Message.StartsWith("the file", StringComparison.Ordinal), what);
    }

    [Fact]
    public void A_name_in_gz_is_decompressed()
    {
        string path = Path.Combine(Path.GetTempPath(), $"bitlab-{Guid.NewGuid()}.gz");
        try
        {
            using (var gzip = new System.IO.Compression.GZipStream(File.Create(path), System.IO.Compression.CompressionMode.Compress))
                gzip.Write([0, 0, 8, 1, 0, 0, 0, 2, 7, 8]);
            Assert.Equal([7, 8], IdxFile.Read(path).Values);
        }
        finally
        {
            File.Delete(path);
        }
    }
}
