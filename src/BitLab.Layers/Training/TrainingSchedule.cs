using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>Keeps a model and its optimizer at what <see cref="TrainingOptions"/> ask for, step by step.</summary>
public sealed class TrainingSchedule
{
    private readonly TrainingOptions options;
    private readonly BitLayerBase[] layers;
    private readonly (OptimizerOptions Options, double WeightDecay)[] groups;
    private long steps;

    /// <summary>Begins at step 0.</summary>
    /// <param name="model">A model; its ternary layers of this moment follow.</param>
    /// <param name="options">What to do.</param>
    /// <param name="optimizer">Whose weight decay to end: AdamW, Adam or SGD. Needed where
    /// <see cref="TrainingOptions.WeightDecaySteps"/> is set.</param>
    /// <exception cref="ArgumentException">There is no optimizer whose weight decay could end.</exception>
    public TrainingSchedule(nn.Module model, TrainingOptions options, optim.Optimizer? optimizer = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        if (options.WeightDecaySteps is not null && optimizer is null)
            throw new ArgumentException("Weight decay is to end, but there is no optimizer that decays weights.", nameof(optimizer));
        this.options = options;
        layers = [.. BitModules.NamedLayers(model).Select(named => named.Layer)];
        groups = options.WeightDecaySteps is null
            ? []
            : [.. optimizer!.ParamGroups.Cast<ParamGroup>().Select(group => (group.Options, WeightDecay(group.Options)))];
        Follow();
    }

    /// <summary>How many steps are done. Set it to go on with a training that was saved.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The number is negative.</exception>
    public long Steps
    {
        get => steps;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            steps = value;
            Follow();
        }
    }

    /// <summary>How far the layers quantize in the step to come.</summary>
    public float Lambda => options.Lambda.At(steps);

    /// <summary>To be called after each step of the optimizer.</summary>
    public void Step() => Steps++;

    private void Follow()
    {
        float lambda = Lambda;
        foreach (BitLayerBase layer in layers)
            layer.Lambda = lambda;
        foreach ((OptimizerOptions group, double weightDecay) in groups)
            SetWeightDecay(group, steps < options.WeightDecaySteps ? weightDecay : 0);
    }

    private static double WeightDecay(OptimizerOptions options) => options switch
    {
        AdamW.Options adamW => adamW.weight_decay ?? 0,
        Adam.Options adam => adam.weight_decay ?? 0,
        SGD.Options sgd => sgd.weight_decay ?? 0,
        _ => throw new ArgumentException($"The weight decay of AdamW, Adam and SGD can end, not that of {options.GetType()}."),
    };

    private static void SetWeightDecay(OptimizerOptions options, double value)
    {
        switch (options)
        {
            case AdamW.Options adamW:
                adamW.weight_decay = value;
                break;
            case Adam.Options adam:
                adam.weight_decay = value;
                break;
            case SGD.Options sgd:
                sgd.weight_decay = value;
                break;
        }
    }
}
