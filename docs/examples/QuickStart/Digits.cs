using System.Globalization;
using System.IO.Compression;
using static TorchSharp.torch;

namespace QuickStart;

/// <summary>The 8 × 8 handwritten digits of ../data: every fifth image is for testing, the others for training.</summary>
internal sealed record Digits(Tensor TrainImages, Tensor TrainLabels, Tensor TestImages, Tensor TestLabels)
{
    private const int Pixels = 64;

    public static Digits Load()
    {
        using var file = File.OpenRead(Path.Combine(AppContext.BaseDirectory, "digits.csv.gz"));
        using var reader = new StreamReader(new GZipStream(file, CompressionMode.Decompress));
        int[][] lines = [.. Lines(reader).Select(line => line.Split(',').Select(n => int.Parse(n, CultureInfo.InvariantCulture)).ToArray())];
        (int[][] test, int[][] train) = (Take(i => i % 5 == 0), Take(i => i % 5 != 0));
        return new Digits(Images(train), Labels(train), Images(test), Labels(test));

        int[][] Take(Func<int, bool> isWanted) => [.. lines.Where((_, i) => isWanted(i))];
    }

    private static Tensor Images(int[][] lines) =>
        tensor(lines.SelectMany(line => line.Take(Pixels)).Select(pixel => pixel / 16f).ToArray(), lines.Length, Pixels);

    private static Tensor Labels(int[][] lines) => tensor(lines.Select(line => (long)line[Pixels]).ToArray());

    private static IEnumerable<string> Lines(StreamReader reader)
    {
        while (reader.ReadLine() is string line)
            yield return line;
    }
}
