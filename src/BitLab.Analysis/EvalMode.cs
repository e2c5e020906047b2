using static TorchSharp.torch;

namespace BitLab.Analysis;

/// <summary>A model in eval mode and without gradients, until disposed.</summary>
internal sealed class EvalMode : IDisposable
{
    private readonly (nn.Module Module, bool WasTraining)[] modules;
    private readonly IDisposable noGradients;

    public EvalMode(nn.Module model)
    {
        // A parent comes before its children, which train() then tells their own.
        modules = [(model, model.training), .. model.named_modules().Select(named => (named.module, named.module.training))];
        noGradients = no_grad();
        try
        {
            model.eval();
        }
        catch
        {
            // A ternary layer that is there already cannot be packed.
            Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        noGradients.Dispose();
        foreach ((nn.Module module, bool wasTraining) in modules)
        {
            if (module.training != wasTraining)
                module.train(wasTraining);
        }
    }
}
