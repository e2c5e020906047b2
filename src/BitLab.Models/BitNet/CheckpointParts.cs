using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>The parts of a model with the values of a checkpoint: packed weights make deployed layers, master weights latent
/// ones.</summary>
internal sealed unsafe class CheckpointParts(BitNetCheckpoint checkpoint, BitQuantConfig quantConfig)
    : BitNetParts(checkpoint.Config, quantConfig)
{
    public override Tensor Matrix(string path, long rows, long columns)
    {
        Tensor matrix = empty(rows, columns);
        Read(path, matrix);
        return matrix;
    }

    public override RMSNorm Norm(string path, long features)
    {
        var norm = new RMSNorm(features, Config.RmsNormEps);
        Read(path, norm.weight);
        return norm;
    }

    public override nn.Module<Tensor, Tensor> Linear(string path, long inFeatures, long outFeatures)
    {
        string name = path + BitNetConfig.WeightSuffix;
        switch (checkpoint.LinearKind(name))
        {
            case BitNetLinearKind.Float:
                return FloatLinear(Matrix(path, outFeatures, inFeatures));
            case BitNetLinearKind.Ternary:
                using (PackedTernaryWeights weights = checkpoint.ReadTernary(name))
                    return WithInputNorm(path, BitLinear.FromPacked(weights, config: QuantConfig, subLNEps: InputNormEps));
            default:
                var layer = new BitLinear(
                    inFeatures, outFeatures, hasBias: false, config: QuantConfig,
                    subLN: InputNormEps is not null, subLNEps: InputNormEps ?? 0);
                Read(path, layer.weight!);
                return WithInputNorm(path, layer);
        }
    }

    private BitLinear WithInputNorm(string path, BitLinear layer)
    {
        if (layer.SubLN is RMSNorm norm)
            Read($"{path}.rms_norm", norm.weight);
        return layer;
    }

    // Into the memory of a new tensor, whose values nothing has seen yet.
    private void Read(string path, Tensor target)
    {
        string name = path + BitNetConfig.WeightSuffix;
        if (target.numel() > int.MaxValue)
            throw new BitLabException($"'{checkpoint.Path}': '{name}' has {target.numel()} values; BitLab reads at most {int.MaxValue}.");
        checkpoint.ReadFloats(name, new Span<float>(TensorMemory.Pointer(target), (int)target.numel()));
    }
}
