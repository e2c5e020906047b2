using System.Diagnostics;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>Two modules measured side by side on one input.</summary>
/// <param name="Memory">What their weights take.</param>
/// <param name="BaselineTime">The median time of a forward of the baseline.</param>
/// <param name="QuantizedTime">The median time of a forward of the other.</param>
public sealed record LayerComparison(MemoryComparison Memory, TimeSpan BaselineTime, TimeSpan QuantizedTime)
{
    /// <summary>How many times less time the quantized module takes.</summary>
    public double Speedup => BaselineTime / QuantizedTime;

    /// <summary>Measures both modules, as they are, without gradients: they take turns, so that a machine that slows down
    /// slows both.</summary>
    /// <param name="baseline">For example a <c>Linear</c> in eval mode.</param>
    /// <param name="quantized">For example a deployed <see cref="BitLinear"/>.</param>
    /// <param name="input">What both get.</param>
    /// <param name="rounds">How many turns the medians are taken of.</param>
    /// <returns>Medians and bytes. Only the ratio travels from one machine to another.</returns>
    public static LayerComparison Measure(
        nn.Module<Tensor, Tensor> baseline, nn.Module<Tensor, Tensor> quantized, Tensor input, int rounds = 25)
    {
        ArgumentNullException.ThrowIfNull(baseline);
        ArgumentNullException.ThrowIfNull(quantized);
        ArgumentOutOfRangeException.ThrowIfLessThan(rounds, 1);
        using IDisposable noGradients = no_grad();
        int repetitions = Math.Max(Repetitions(baseline, input), Repetitions(quantized, input));
        double[] baselineTimes = new double[rounds], quantizedTimes = new double[rounds];
        for (int round = 0; round < rounds; round++)
        {
            baselineTimes[round] = Time(baseline, input, repetitions);
            quantizedTimes[round] = Time(quantized, input, repetitions);
        }
        return new LayerComparison(
            MemoryUsage.Compare(baseline, quantized),
            TimeSpan.FromSeconds(Median(baselineTimes)),
            TimeSpan.FromSeconds(Median(quantizedTimes)));
    }

    // Enough forwards for half a millisecond, so that the clock's own cost does not show.
    private static int Repetitions(nn.Module<Tensor, Tensor> module, Tensor input)
    {
        const int WarmUp = 30;
        double once = Time(module, input, WarmUp);
        return Math.Clamp((int)(0.0005 / once), 1, 1000);
    }

    private static double Time(nn.Module<Tensor, Tensor> module, Tensor input, int repetitions)
    {
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < repetitions; i++)
            module.call(input).Dispose();
        return Stopwatch.GetElapsedTime(start).TotalSeconds / repetitions;
    }

    private static double Median(double[] values) => values.Order().ElementAt(values.Length / 2);
}
