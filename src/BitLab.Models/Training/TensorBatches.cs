using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>Batches of samples that lie in memory, in another order each epoch. The order depends on the seed and the epoch's
/// number alone, so that a training that goes on after an interruption sees what it would have seen.</summary>
public sealed class TensorBatches
{
    private readonly Tensor inputs;
    private readonly Tensor targets;
    private readonly long batchSize;
    private readonly ulong? seed;
    private readonly bool dropLast;

    /// <summary>Batches of tensors that stay the caller's.</summary>
    /// <param name="inputs">(samples, *).</param>
    /// <param name="targets">(samples, *).</param>
    /// <param name="batchSize">Samples in a batch.</param>
    /// <param name="seed">Where the order comes from; null: the samples' own order, as for an evaluation.</param>
    /// <param name="dropLast">Whether to leave out a last batch that is not full. Default: no.</param>
    /// <exception cref="ArgumentException">The numbers of samples differ, or there is none.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A batch of less than one sample.</exception>
    public TensorBatches(Tensor inputs, Tensor targets, long batchSize, ulong? seed = null, bool dropLast = false)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        ArgumentNullException.ThrowIfNull(targets);
        ArgumentOutOfRangeException.ThrowIfLessThan(batchSize, 1);
        if (inputs.ndim == 0 || targets.ndim == 0 || inputs.size(0) != targets.size(0) || inputs.size(0) == 0)
        {
            throw new ArgumentException(
                $"Expected as many targets as inputs and at least one, got ({string.Join(", ", inputs.shape)}) and "
                + $"({string.Join(", ", targets.shape)}).", nameof(targets));
        }
        (this.inputs, this.targets, this.batchSize, this.seed, this.dropLast) = (inputs, targets, batchSize, seed, dropLast);
    }

    /// <summary>How many batches an epoch has.</summary>
    public long Count => dropLast ? inputs.size(0) / batchSize : (inputs.size(0) + batchSize - 1) / batchSize;

    /// <summary>The batches of an epoch, made one by one.</summary>
    /// <param name="epoch">Its number, from 0.</param>
    /// <returns>New tensors; who enumerates them disposes them.</returns>
    public IEnumerable<Batch> Epoch(long epoch)
    {
        long samples = inputs.size(0);
        using Tensor? order = seed is ulong start ? tensor(Shuffled(samples, start, epoch)) : null;
        order?.DetachFromDisposeScope();
        for (long batch = 0; batch < Count; batch++)
        {
            long first = batch * batchSize, size = Math.Min(batchSize, samples - first);
            if (order is null)
            {
                yield return new Batch(inputs.narrow(0, first, size), targets.narrow(0, first, size));
                continue;
            }
            using Tensor chosen = order.narrow(0, first, size);
            using Tensor there = chosen.to(inputs.device);
            yield return new Batch(inputs.index_select(0, there), targets.index_select(0, there));
        }
    }

    // Fisher and Yates with the numbers of SplitMix64, which are the same everywhere.
    private static long[] Shuffled(long count, ulong seed, long epoch)
    {
        long[] order = new long[count];
        for (long i = 0; i < count; i++)
            order[i] = i;
        ulong state = seed ^ ((ulong)epoch * 0xD1B54A32D192ED03);
        for (long i = count - 1; i > 0; i--)
        {
            long other = (long)(Next(ref state) % (ulong)(i + 1));
            (order[i], order[other]) = (order[other], order[i]);
        }
        return order;
    }

    // Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".
    private static ulong Next(ref ulong state)
    {
        ulong z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
