using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Benchmarks;

/// <summary>Three layers with ReLU between them, squared errors, AdamW.</summary>
internal sealed class TrainedNetwork : IDisposable
{
    private readonly nn.Module<Tensor, Tensor> model;
    private readonly optim.Optimizer optimizer;
    private readonly Tensor input;
    private readonly Tensor target;

    public TrainedNetwork(TrainingCase at, bool isTernary)
    {
        random.manual_seed(1);
        nn.Module<Tensor, Tensor> Layer() =>
            isTernary ? new BitLinear(at.Width, at.Width) : nn.Linear(at.Width, at.Width);
        model = nn.Sequential(Layer(), nn.ReLU(), Layer(), nn.ReLU(), Layer());
        optimizer = optim.AdamW(model.parameters(), lr: 1e-4, weight_decay: 0.01);
        input = randn(at.Batch, at.Width);
        target = randn(at.Batch, at.Width);
    }

    /// <summary>Forward, backward and a step of the optimizer.</summary>
    public void Step()
    {
        using DisposeScope scope = NewDisposeScope();
        optimizer.zero_grad();
        nn.functional.mse_loss(model.call(input), target).backward();
        optimizer.step();
    }

    public void Dispose()
    {
        optimizer.Dispose();
        model.Dispose();
        input.Dispose();
        target.Dispose();
    }
}
