using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Analysis;

/// <summary>How far a ternary layer's outputs are from the float one's, summed over the calls that it watches.</summary>
internal sealed class OutputError
{
    private readonly TernaryTwin twin;
    private double difference;
    private double magnitude;

    public OutputError(TernaryTwin twin)
    {
        this.twin = twin;
        twin.OnCall = Watch;
    }

    public int Calls { get; private set; }

    /// <summary>‖y_q - y‖ / ‖y‖; where y is zero throughout, 0 or infinite.</summary>
    public double Relative => difference == 0 ? 0 : Math.Sqrt(difference / magnitude);

    private Tensor? Watch(Tensor input, Tensor output)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor y = output.to(ScalarType.Float64);
        difference += (twin.Ternary.forward(input).to(ScalarType.Float64) - y).square().sum().item<double>();
        magnitude += y.square().sum().item<double>();
        Calls++;
        return null;
    }
}
