using System.Globalization;
using System.IO.Compression;
using static TorchSharp.torch;

namespace Accuracy.Data;

/// <summary>Inputs and their classes.</summary>
/// <param name="Inputs">(count, *), float32.</param>
/// <param name="Labels">(count), int64.</param>
internal sealed record LabelledData(Tensor Inputs, Tensor Labels)
{
    private const int DigitPixels = 64, ImageSize = 28;

    public long Count => Labels.size(0);

    /// <summary>Some of them, in this order.</summary>
    public LabelledData At(ReadOnlySpan<long> indices)
    {
        using Tensor index = tensor(indices.ToArray());
        return new LabelledData(Inputs[index], Labels[index]);
    }

    /// <summary>1,797 handwritten digits of 8 × 8 pixels, which this repository holds; (count, 64), 0 to 1.</summary>
    public static LabelledData Digits()
    {
        using FileStream file = File.OpenRead(Path.Combine(AppContext.BaseDirectory, "digits.csv.gz"));
        using var reader = new StreamReader(new GZipStream(file, CompressionMode.Decompress));
        int[][] lines =
        [
            .. reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .Select(line => line.Split(',').Select(n => int.Parse(n, CultureInfo.InvariantCulture)).ToArray()),
        ];
        return new LabelledData(
            tensor(
                lines.SelectMany(line => line.Take(DigitPixels)).Select(pixel => pixel / 16f).ToArray(), lines.Length, DigitPixels),
            tensor(lines.Select(line => (long)line[DigitPixels]).ToArray()));
    }

    /// <summary>20,000 letters by 16 features of their images; (count, 16), each feature of 0 to 15 around 0.</summary>
    public static LabelledData Letters(DataFolder folder)
    {
        string path = folder.Find("r-cran-mlbench", "usr/lib/R/site-library/mlbench/data/LetterRecognition.rda");
        RValue[] columns = RFiles.Read(path)["LetterRecognition"].List;
        double[] letters = columns[0].Numbers;
        double[][] features = [.. columns.Skip(1).Select(column => column.Numbers)];
        if (features.Any(column => column.Length != letters.Length))
            throw new InvalidDataException($"{path} has columns of unequal lengths.");
        float[] inputs =
        [
            .. from row in Enumerable.Range(0, letters.Length)
               from column in features
               select (float)(column[row] - 7.5) / 4,
        ];
        return new LabelledData(
            tensor(inputs, letters.Length, features.Length), tensor(letters.Select(letter => (long)letter - 1).ToArray()));
    }

    /// <summary>60,000 or 10,000 images of clothes; (count, 1, 28, 28), 0 to 1 less the mean, over the deviation.</summary>
    public static LabelledData Fashion(DataFolder folder, bool isTrain)
    {
        string prefix = isTrain ? "train" : "t10k";
        IdxFile images = Read("images-idx3"), labels = Read("labels-idx1");
        if (images.Shape is not [int count, ImageSize, ImageSize] || labels.Shape is not [int labelled] || labelled != count)
        {
            throw new InvalidDataException(
                $"The {prefix} files of Fashion-MNIST hold ({string.Join(", ", images.Shape)}) images "
                + $"and ({string.Join(", ", labels.Shape)}) labels.");
        }
        using Tensor bytes = tensor(images.Values, [count, 1, ImageSize, ImageSize]);
        // The mean and the deviation of the training images' pixels.
        return new LabelledData(
            ((bytes.to(ScalarType.Float32) / 255) - 0.286f) / 0.353f,
            tensor(labels.Values.Select(label => (long)label).ToArray()));

        IdxFile Read(string kind) =>
            IdxFile.Read(folder.Find("dataset-fashion-mnist", $"usr/share/datasets/fashion-mnist/{prefix}-{kind}-ubyte.gz"));
    }
}
