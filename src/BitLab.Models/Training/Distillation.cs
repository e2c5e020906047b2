using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>A teacher whose outputs a model learns beside the targets.</summary>
/// <remarks>Hinton, Vinyals and Dean 2015, arXiv:1503.02531: with p the teacher's and q the model's softmax of logits / T, the
/// loss is share · T² · KL(p ‖ q) + (1 - share) · loss. T² brings the gradient to the size of the other one.</remarks>
public sealed record Distillation
{
    /// <summary>Learns from a teacher, by default at temperature 2 and with a share of 0.9.</summary>
    /// <param name="teacher">Takes the same inputs and gives logits of the same shape, such as the float model. It is put into
    /// eval mode and stays the caller's.</param>
    public Distillation(nn.Module<Tensor, Tensor> teacher)
    {
        ArgumentNullException.ThrowIfNull(teacher);
        Teacher = teacher;
    }

    /// <summary>Who is learned from.</summary>
    public nn.Module<Tensor, Tensor> Teacher { get; }

    /// <summary>What logits are divided by. The higher, the more the small probabilities count. Default: 2.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not above 0.</exception>
    public double Temperature
    {
        get;
        init => field = value > 0 ? value : throw new ArgumentOutOfRangeException(nameof(value), value, "The temperature is above 0.");
    } = 2;

    /// <summary>The teacher's share of the loss, 0 to 1; the rest is the targets'. Default: 0.9.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not 0 to 1.</exception>
    public double Share
    {
        get;
        init => field = value is >= 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The teacher's share is 0 to 1.");
    } = 0.9;

    /// <summary>The dimension of the classes. Default: -1, the last.</summary>
    public long ClassDimension { get; init; } = -1;

    /// <summary>The loss of both.</summary>
    internal Tensor Loss(Tensor input, Tensor logits, Tensor loss)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor teacher;
        using (no_grad())
            teacher = nn.functional.log_softmax(Teacher.call(input) / Temperature, ClassDimension);
        Tensor model = nn.functional.log_softmax(logits / Temperature, ClassDimension);
        Tensor divergence = (teacher.exp() * (teacher - model)).sum([ClassDimension]).mean();
        return ((Share * Temperature * Temperature * divergence) + ((1 - Share) * loss)).MoveToOuterDisposeScope();
    }
}
