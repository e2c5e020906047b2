using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace Accuracy;

/// <summary>What a training needs beside a network and data.</summary>
/// <param name="Steps">Steps of the optimizer.</param>
/// <param name="Rate">The learning rate after its warm-up; then it falls to 0 by a cosine.</param>
/// <param name="WeightDecay">AdamW's.</param>
internal sealed record TrainingPlan(int Steps, double Rate, double WeightDecay)
{
    private const double WarmupShare = 0.05;

    /// <summary>The learning rate of a step.</summary>
    public double RateAt(int step)
    {
        double warmup = Math.Max(1, WarmupShare * Steps);
        return step < warmup
            ? Rate * (step + 1) / (warmup + 1)
            : Rate * 0.5 * (1 + Math.Cos(Math.PI * (step - warmup) / (Steps - warmup)));
    }
}

/// <summary>The one loop that all networks are trained by.</summary>
internal static class Training
{
    private const double Temperature = 2, TeacherShare = 0.9, LambdaShare = 0.2, DecayShare = 0.5;
    private const double LargestGradient = 1;

    /// <summary>Trains by AdamW and cross entropy, and from a teacher where there is one: then the network becomes ternary in the
    /// first part of the steps. The weight decay of ternary networks ends half way.</summary>
    public static void Run(
        nn.Module<Tensor, Tensor> network, nn.Module<Tensor, Tensor>? teacher, TrainingPlan plan,
        IEnumerable<(Tensor Input, Tensor Target)> batches, Action<int>? stepDone = null)
    {
        bool isTernary = network.modules().OfType<BitLayerBase>().Any();
        network.train();
        teacher?.eval();
        using var optimizer = optim.AdamW(network.parameters(), plan.Rate, weight_decay: plan.WeightDecay);
        var schedule = new TrainingSchedule(
            network,
            new TrainingOptions
            {
                Lambda = teacher is null ? LambdaSchedule.Full : LambdaSchedule.Linear((long)(LambdaShare * plan.Steps)),
                WeightDecaySteps = isTernary ? (long)(DecayShare * plan.Steps) : null,
            },
            optimizer);
        using IEnumerator<(Tensor Input, Tensor Target)> batch = batches.GetEnumerator();
        for (int step = 0; step < plan.Steps; step++)
        {
            using DisposeScope scope = NewDisposeScope();
            foreach (TorchSharp.Modules.ParamGroup group in optimizer.ParamGroups.Cast<TorchSharp.Modules.ParamGroup>())
                group.LearningRate = plan.RateAt(step);
            batch.MoveNext();
            optimizer.zero_grad();
            Loss(network, teacher, batch.Current.Input, batch.Current.Target).backward();
            nn.utils.clip_grad_norm_(network.parameters(), LargestGradient);
            optimizer.step();
            schedule.Step();
            stepDone?.Invoke(step);
        }
        network.eval();
    }

    private static Tensor Loss(nn.Module<Tensor, Tensor> network, nn.Module<Tensor, Tensor>? teacher, Tensor input, Tensor target)
    {
        Tensor logits = network.call(input), loss = nn.functional.cross_entropy(logits, target);
        if (teacher is null)
            return loss;
        Tensor soft;
        using (no_grad())
            soft = nn.functional.softmax(teacher.call(input) / Temperature, dim: 1);
        // Hinton et al. 2015, arXiv:1503.02531: soft targets, their gradient brought to the size of the others'.
        Tensor distance = -(soft * nn.functional.log_softmax(logits / Temperature, dim: 1)).sum(dim: 1).mean();
        return (TeacherShare * Temperature * Temperature * distance) + ((1 - TeacherShare) * loss);
    }
}
