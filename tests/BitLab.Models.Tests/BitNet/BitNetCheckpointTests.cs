using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models.Tests;

public class BitNetCheckpointTests
{
    private static readonly int[] Tokens = [1, 17, 5, 23, 0];

    private static readonly Dictionary<string, BitNetConfig> Shapes = new()
    {
        ["bitnet"] = TinyBitNet.BitNet,
        ["llama"] = TinyBitNet.Llama,
        ["llama with input norms"] = TinyBitNet.LlamaWithInputNorms,
        ["first reproductions"] = TinyBitNet.First,
    };

    public static TheoryData<string, CheckpointForm> EveryShapeAndForm()
    {
        var data = new TheoryData<string, CheckpointForm>();
        foreach (string shape in Shapes.Keys)
        {
            foreach (CheckpointForm form in Enum.GetValues<CheckpointForm>())
                data.Add(shape, form);
        }
        return data;
    }

    [Theory, MemberData(nameof(EveryShapeAndForm))]
    public void A_checkpoint_gives_the_logits_of_its_description(string shape, CheckpointForm form)
    {
        using DisposeScope scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        TinyBitNet tiny = TinyBitNet.WithClearRounding(Shapes[shape], form, Tokens);
        tiny.Write(folder.Path, form);
        using BitModel model = AutoBitModel.FromPretrained(folder.Path);
        Assert.False(model.training);
        Assert.Equal(form != CheckpointForm.Online, Assert.IsType<BitNetModel>(model).IsDeployed);
        AssertLogits(tiny.Naive(form).Logits(Tokens), model.call(tensor(Tokens).unsqueeze(0))[0]);
    }

    // Both compute the same formulas: float32 with sums of up to 64 products errs by less than 1e-5 of the largest, and two layers
    // carry that on without rounding any activation otherwise.
    private static void AssertLogits(double[][] expected, Tensor actual)
    {
        Assert.Equal([expected.Length, expected[0].Length], actual.shape);
        double largest = expected.Max(row => row.Max(Math.Abs));
        float[] values = actual.contiguous().data<float>().ToArray();
        double error = expected.SelectMany(row => row).Zip(values, (e, a) => Math.Abs(e - a)).Max() / largest;
        Assert.True(error < 1e-5, $"{error}");
    }
}
