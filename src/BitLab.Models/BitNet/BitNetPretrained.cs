using BitLab.Core;

namespace BitLab.Models;

/// <summary>BitNet models from checkpoints, in whichever form these hold their weights.</summary>
internal static class BitNetPretrained
{
    public static BitModel Load(string path, BitQuantConfig quantConfig)
    {
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(path);
        checkpoint.Check();
        CheckIsTernary(checkpoint);
        var model = new BitNetModel(checkpoint.Config, quantConfig, new CheckpointParts(checkpoint, quantConfig));
        try
        {
            model.eval();
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    private static void CheckIsTernary(BitNetCheckpoint checkpoint)
    {
        BitNetConfig config = checkpoint.Config;
        BitNetTensor? dense = config.Tensors().FirstOrDefault(tensor =>
            tensor.IsLinear && !(config.Quantization?.Excepts(tensor.Name) ?? false)
            && checkpoint.LinearKind(tensor.Name) == BitNetLinearKind.Float);
        if (dense is null)
            return;
        string why = config.Quantization is null
            ? "has no quantization_config of BitNet"
            : "promises packed weights (quantization_mode offline)";
        throw new BitLabException(
            $"'{checkpoint.Path}' is a float model of type '{config.ModelType}': '{dense.Name}' is not ternary, and the config {why}. "
            + "BitLab.Models runs ternary transformers only.");
    }
}
