using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>How the latent weights of a layer begin.</summary>
public enum InitMethod
{
    /// <summary>Uniform within sqrt(6 / (in + out)): Glorot and Bengio 2010.</summary>
    XavierUniform,

    /// <summary>Uniform within sqrt(3) · sqrt(2 / in): He et al. 2015, arXiv:1502.01852.</summary>
    KaimingUniform,
}

/// <summary>Fills weights.</summary>
internal static class Initialization
{
    public static void Fill(Tensor weights, InitMethod method)
    {
        _ = method switch
        {
            InitMethod.XavierUniform => nn.init.xavier_uniform_(weights),
            InitMethod.KaimingUniform => nn.init.kaiming_uniform_(
                weights, 0, nn.init.FanInOut.FanIn, nn.init.NonlinearityType.ReLU),
            _ => throw new ArgumentOutOfRangeException(nameof(method), method, "An init method is XavierUniform or KaimingUniform."),
        };
    }
}
