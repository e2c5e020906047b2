namespace BitLab.Analysis;

/// <summary>What counts as worse.</summary>
internal static class Drops
{
    /// <summary>By how much a metric is worse than the float model's. One that is no number is infinitely worse.</summary>
    public static double Of(double floatMetric, double metric, bool higherIsBetter)
    {
        double drop = higherIsBetter ? floatMetric - metric : metric - floatMetric;
        return double.IsNaN(drop) ? double.PositiveInfinity : drop;
    }
}
