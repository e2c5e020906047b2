using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models.Tests;

[Collection(nameof(CountsTensors))]
public class BitNetMemoryTests
{
    [Fact]
    public void A_step_and_a_decoded_token_leave_no_tensors()
    {
        using var model = new BitNetModel(TinyBitNet.BitNet with { VocabSize = 28 });
        var optimizer = optim.AdamW(model.parameters(), lr: 1e-3);
        using Tensor ids = BitNetTrainingTests.Characters("a text to learn by heart.");
        TrainStep();
        TrainStep();
        long before = CountWithoutGarbage();
        for (int i = 0; i < 3; i++)
            TrainStep();
        Assert.Equal(before, Tensor.TotalCount);

        model.eval();
        using var cache = new BitNetCache();
        using Tensor mask = ones_like(ids), next = ids.narrow(1, 0, 1);
        model.forward(ids, mask, cache: cache).Dispose();
        before = CountWithoutGarbage();
        for (int i = 0; i < 60; i++)
            model.forward(next, null, cache: cache).Dispose();
        Assert.Equal(before, Tensor.TotalCount);
        cache.Dispose();
        // Two tensors a layer, and which tokens are padding.
        Assert.Equal(before - (2 * 2) - 1, Tensor.TotalCount);

        void TrainStep()
        {
            using DisposeScope scope = NewDisposeScope();
            optimizer.zero_grad();
            BitNetTrainingTests.Loss(model, ids).backward();
            optimizer.step();
        }
    }

    [Fact]
    public void A_packed_checkpoint_takes_no_memory_for_float_weights()
    {
        using BitNetModel model = BitNetModelTests.Load(new TinyBitNet(TinyBitNet.BitNet, seed: 1), CheckpointForm.Multiply);
        MemoryReport report = MemoryUsage.Estimate(model);
        Assert.Equal(
            4 * TinyBitNet.BitNet.Tensors().Where(t => !t.IsLinear).Sum(t => t.Shape.Aggregate(1L, (a, b) => a * b)), report.ParameterBytes);
        Assert.Equal(
            TinyBitNet.BitNet.Tensors().Where(t => t.IsLinear).Sum(t => 4 + PackedTernaryWeights.PackedSize((int)t.Shape[0], (int)t.Shape[1])),
            report.BufferBytes);
        Assert.Equal(0, report.CacheBytes);
    }

    [Fact]
    public void Loading_leaves_nothing_behind()
    {
        using var folder = new TemporaryFolder();
        new TinyBitNet(TinyBitNet.Llama, seed: 1).Write(folder.Path, CheckpointForm.Multiply);
        long bytes = BitLabRuntime.WeightBytesHeld, parameters;
        using (BitModel first = AutoBitModel.FromPretrained(folder.Path))
            parameters = first.parameters().Count();
        Assert.Equal(bytes, BitLabRuntime.WeightBytesHeld);
        long tensors = CountWithoutGarbage();
        AutoBitModel.FromPretrained(folder.Path).Dispose();
        // TorchSharp counts up for each parameter that was ever made, and not down.
        Assert.InRange(Tensor.TotalCount - tensors, 0, 2 * parameters);
        Assert.Equal(bytes, BitLabRuntime.WeightBytesHeld);
    }

    // Before counting what is left: other tests' tensors must not disappear meanwhile, and these here count though they be garbage.
    private static long CountWithoutGarbage()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return Tensor.TotalCount;
    }
}
