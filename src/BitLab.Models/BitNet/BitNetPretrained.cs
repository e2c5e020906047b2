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
        if (checkpoint.Config.Quantization is not null)
            return;
        BitNetTensor? dense = checkpoint.Config.Tensors().FirstOrDefault(
            tensor => tensor.IsLinear && checkpoint.LinearKind(tensor.Name) == BitNetLinearKind.Float);
        if (dense is not null)
        {
            throw new BitLabException(
                $"'{checkpoint.Path}' is a float model of type '{checkpoint.Config.ModelType}': its config has no quantization_config of "
                + $"BitNet and '{dense.Name}' is not ternary. BitLab runs ternary transformers only.");
        }
    }
}
