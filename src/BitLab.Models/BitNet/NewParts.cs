using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>The parts of an untrained model: normal noise and norms of one.</summary>
internal sealed class NewParts(BitNetConfig config, BitQuantConfig quantConfig) : BitNetParts(config, quantConfig)
{
    public override Tensor Matrix(string path, long rows, long columns) =>
        empty(rows, columns).normal_(0, Config.InitializerRange);

    public override RMSNorm Norm(string path, long features) => new(features, Config.RmsNormEps);

    public override nn.Module<Tensor, Tensor> Linear(string path, long inFeatures, long outFeatures)
    {
        Tensor weight = Matrix(path, outFeatures, inFeatures);
        return Config.Quantization!.Excepts(path) ? FloatLinear(weight) : LatentLinear(weight);
    }
}
