using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>Where a training is, beside weights and moments.</summary>
internal sealed class TrainingState : IDisposable
{
    /// <summary>Steps that are done.</summary>
    public long Step { get; set; }

    public long Epoch { get; set; }

    /// <summary>Batches of the epoch that are done.</summary>
    public long BatchesOfEpoch { get; set; }

    public int EvaluationsSinceBest { get; set; }

    public Evaluation? Best { get; set; }

    public long BestStep { get; set; }

    /// <summary>Losses since the last line of the log.</summary>
    public double LossSum { get; set; }

    public long LossCount { get; set; }

    /// <summary>The state dict of the best evaluation; empty where there was none.</summary>
    public Dictionary<string, Tensor> BestWeights { get; } = [];

    /// <summary>Copies a model's weights as the best ones.</summary>
    public void KeepWeights(nn.Module model)
    {
        using IDisposable noGradients = no_grad();
        foreach ((string key, Tensor value) in model.state_dict())
        {
            if (BestWeights.TryGetValue(key, out Tensor? kept))
                kept.copy_(value);
            else
                BestWeights[key] = value.detach().clone().DetachFromDisposeScope();
        }
    }

    public void Dispose()
    {
        foreach (Tensor tensor in BestWeights.Values)
            tensor.Dispose();
        BestWeights.Clear();
    }
}
