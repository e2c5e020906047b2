namespace BitLab.Benchmarks;

/// <summary>Numbers as people read them; what was not measured is a dash.</summary>
internal static class Format
{
    private const string Absent = "–";

    public static string Microseconds(double? seconds) => Number(seconds * 1e6);

    /// <summary>10⁹ a second.</summary>
    public static string Giga(double? rate) => Number(rate / 1e9);

    public static string Ratio(double? ratio) => ratio is double value ? value.ToString(value < 9.95 ? "0.00" : "0.0") : Absent;

    public static string Percent(double? fraction) => fraction is double value ? value.ToString("0 %") : Absent;

    // Three digits.
    private static string Number(double? number) => number switch
    {
        null => Absent,
        < 9.995 => number.Value.ToString("0.00"),
        < 99.95 => number.Value.ToString("0.0"),
        _ => number.Value.ToString("#,##0"),
    };
}
