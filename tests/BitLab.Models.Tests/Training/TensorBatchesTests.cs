using CsCheck;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models.Tests;

public class TensorBatchesTests
{
    [Fact]
    public void Every_sample_comes_once_an_epoch_with_its_target() =>
        Gen.Select(Gen.Int[1, 50], Gen.Int[1, 20], Gen.ULong, Gen.Long[0, 1000]).Sample((samples, size, seed, epoch) =>
        {
            using DisposeScope scope = NewDisposeScope();
            Tensor inputs = arange(samples), targets = inputs * 2;
            var batches = new TensorBatches(inputs, targets, size, seed);
            Batch[] all = [.. batches.Epoch(epoch)];
            Assert.Equal(batches.Count, all.Length);
            Assert.All(all[..^1], batch => Assert.Equal(size, batch.Input.size(0)));
            long[] order = [.. all.SelectMany(batch => batch.Input.data<long>().ToArray())];
            Assert.Equal(Enumerable.Range(0, samples).Select(i => (long)i), order.Order());
            Assert.Equal(order.Select(i => 2 * i), all.SelectMany(batch => batch.Target.data<long>().ToArray()));
            Assert.Equal(order, batches.Epoch(epoch).SelectMany(batch => batch.Input.data<long>().ToArray()));
        }, iter: 100);

    [Fact]
    public void The_order_is_another_each_epoch_and_the_same_everywhere()
    {
        using DisposeScope scope = NewDisposeScope();
        var batches = new TensorBatches(arange(8), arange(8), 8, seed: 1);
        long[] first = [.. batches.Epoch(0).Single().Input.data<long>()], second = [.. batches.Epoch(1).Single().Input.data<long>()];
        Assert.NotEqual(first, second);
        // By SplitMix64 in another program.
        Assert.Equal(ExpectedOrder(1), first);
    }

    [Fact]
    public void Without_a_seed_the_order_is_the_samples()
    {
        using DisposeScope scope = NewDisposeScope();
        var batches = new TensorBatches(arange(7), arange(7), 3, dropLast: true);
        Assert.Equal([0, 1, 2, 3, 4, 5], batches.Epoch(3).SelectMany(batch => batch.Input.data<long>().ToArray()));
    }

    [Fact]
    public void Wrong_tensors_are_told()
    {
        using DisposeScope scope = NewDisposeScope();
        Assert.Contains("(3) and (4)", Assert.Throws<ArgumentException>(() => new TensorBatches(arange(3), arange(4), 2)).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => new TensorBatches(arange(3), arange(3), 0));
    }

    private static long[] ExpectedOrder(ulong seed)
    {
        UInt128 state = seed;
        long[] order = [0, 1, 2, 3, 4, 5, 6, 7];
        for (int i = 7; i > 0; i--)
        {
            state = (state + 0x9E3779B97F4A7C15) & ulong.MaxValue;
            UInt128 z = state;
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & ulong.MaxValue;
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & ulong.MaxValue;
            int other = (int)((z ^ (z >> 31)) % (UInt128)(i + 1));
            (order[i], order[other]) = (order[other], order[i]);
        }
        return order;
    }
}
