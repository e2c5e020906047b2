using System.Globalization;

namespace Accuracy.Results;

/// <summary>Numbers of several seeds.</summary>
internal sealed record Sample(double[] Values)
{
    public double Mean => Values.Average();

    /// <summary>Of the seeds, not of their mean: divided by n - 1; NaN of fewer than two.</summary>
    public double StandardDeviation => Values.Length < 2
        ? double.NaN
        : Math.Sqrt(Values.Sum(value => (value - Mean) * (value - Mean)) / (Values.Length - 1));

    /// <summary>Differences seed by seed.</summary>
    /// <exception cref="ArgumentException">The two have not equally many.</exception>
    public static Sample operator -(Sample a, Sample b) => a.Values.Length == b.Values.Length
        ? new Sample([.. a.Values.Zip(b.Values, (x, y) => x - y)])
        : throw new ArgumentException($"{a.Values.Length} and {b.Values.Length} values are no pairs.", nameof(b));

    /// <summary>All values by a factor.</summary>
    public static Sample operator *(Sample a, double factor) => new([.. a.Values.Select(value => value * factor)]);

    /// <summary>Mean ± standard deviation.</summary>
    /// <param name="format">Of a number.</param>
    public string Text(string format)
    {
        string mean = Mean.ToString(format, CultureInfo.InvariantCulture), unsigned = format.Split(';')[0].TrimStart('+');
        return Values.Length < 2 ? mean : $"{mean} ± {StandardDeviation.ToString(unsigned, CultureInfo.InvariantCulture)}";
    }
}
