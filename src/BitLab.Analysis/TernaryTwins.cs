using System.Collections;
using BitLab.Layers;
using static TorchSharp.torch;

namespace BitLab.Analysis;

/// <summary>The ternary twins of all layers that a conversion would convert, in the model's order.</summary>
internal sealed class TernaryTwins : IReadOnlyList<TernaryTwin>, IDisposable
{
    private readonly List<TernaryTwin> twins = [];
    private readonly Dictionary<string, ConversionRow> rows;

    /// <exception cref="ArgumentException">There are no layers to convert.</exception>
    /// <exception cref="Core.QuantizationException">A weight is NaN or infinite.</exception>
    public TernaryTwins(nn.Module model, ConversionOptions options)
    {
        TorchSharpInternals.Check();
        var plan = new ConversionPlan(model, options);
        rows = plan.Rows.ToDictionary(row => row.Name);
        LeftOut = [.. plan.Rows.Where(row => row.Outcome == ConversionOutcome.Kept).Select(row => row.Name)];
        try
        {
            foreach ((string path, nn.Module<Tensor, Tensor> layer, _) in plan.Steps)
                twins.Add(new TernaryTwin(path, layer, options));
            if (twins.Count == 0)
            {
                throw new ArgumentException(
                    "There is no layer to convert: " + string.Join("; ", plan.Rows.Select(row => $"'{row.Name}' is {row.Outcome} ({row.Why})")),
                    nameof(model));
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Paths of the layers that the options say to leave alone.</summary>
    public IReadOnlyList<string> LeftOut { get; }

    public int Count => twins.Count;

    public TernaryTwin this[int index] => twins[index];

    /// <summary>What the conversion would say of a layer.</summary>
    public ConversionRow Row(TernaryTwin twin) => rows[twin.Path];

    /// <summary>Leaves the model alone from now on.</summary>
    public void StopProbing()
    {
        foreach (TernaryTwin twin in twins)
            twin.StopProbing();
    }

    public IEnumerator<TernaryTwin> GetEnumerator() => twins.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    public void Dispose()
    {
        foreach (TernaryTwin twin in twins)
            twin.Dispose();
    }
}
