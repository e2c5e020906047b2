using System.Globalization;

namespace BitLab.Cli;

/// <summary>Numbers for people.</summary>
internal static class SizeText
{
    public static string Bytes(long count) => count switch
    {
        < 1 << 10 => $"{count} B",
        < 1 << 20 => string.Create(CultureInfo.InvariantCulture, $"{count / 1024.0:F1} KiB"),
        < 1 << 30 => string.Create(CultureInfo.InvariantCulture, $"{count / 1048576.0:F1} MiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{count / 1073741824.0:F2} GiB"),
    };

    public static string Shape(IEnumerable<long> shape) => string.Join(" × ", shape);
}
