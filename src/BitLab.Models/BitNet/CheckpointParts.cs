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
        BitNetLinearKind kind = checkpoint.LinearKind(name);
        if (kind == BitNetLinearKind.Ternary)
        {
            using PackedTernaryWeights weights = checkpoint.ReadTernary(name);
            return WithInputNorm(path, BitLinear.FromPacked(weights, config: QuantConfig, subLNEps: InputNormEps));
        }
        Tensor floats = Matrix(path, outFeatures, inFeatures);
        return kind == BitNetLinearKind.Master ? WithInputNorm(path, LatentLinear(floats)) : FloatLinear(floats);
    }

    private BitLinear WithInputNorm(string path, BitLinear layer)
    {
        if (layer.Norm is RMSNorm norm)
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
