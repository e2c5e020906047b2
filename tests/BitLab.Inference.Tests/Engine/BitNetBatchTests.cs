using BitLab.Core;

namespace BitLab.Inference.Tests;

public class BitNetBatchTests
{
    [Theory, MemberData(nameof(TinyModel.Shapes), MemberType = typeof(TinyModel))]
    public void Logits_are_those_of_plain_loops_in_float64(string shape)
    {
        using var model = new TinyModel(TinyModel.Shape(shape));
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(model.Folder);
        int[] tokens = TinyModel.Tokens(40);
        double[][] expected = new NaiveTransformer(checkpoint).Forward(tokens);
        float[][] got = TinyModel.AllLogits(model.Runner, tokens);
        for (int t = 0; t < tokens.Length; t++)
            Assert.True(RelativeError(expected[t], got[t]) < 1e-4, $"token {t}: {RelativeError(expected[t], got[t])}");
    }

    [Theory, MemberData(nameof(TinyModel.Shapes), MemberType = typeof(TinyModel))]
    public void A_text_token_by_token_has_the_bits_of_the_text_at_once(string shape)
    {
        using var model = new TinyModel(TinyModel.Shape(shape));
        int[] tokens = TinyModel.Tokens(60);
        float[][] atOnce = TinyModel.AllLogits(model.Runner, tokens);
        using BitNetSequence sequence = model.Runner.CreateSequence(60);
        using BitNetBatch batch = model.Runner.CreateBatch(25);
        int[] steps = [7, 1, 25, 1, 1, 17, .. Enumerable.Repeat(1, 8)];
        int at = 0;
        foreach (int step in steps)
        {
            batch.Clear();
            batch.Add(sequence, tokens.AsSpan(at, step));
            batch.Run();
            at += step;
            Assert.Equal(atOnce[at - 1], batch.Logits(0).ToArray());
        }
        Assert.Equal(60, at);
    }

    [Fact]
    public void Sequences_of_a_batch_have_the_bits_of_each_alone()
    {
        using var model = new TinyModel();
        int[][] texts = [TinyModel.Tokens(31, seed: 1), TinyModel.Tokens(5, seed: 2), TinyModel.Tokens(18, seed: 3)];
        float[][][] alone = [.. texts.Select(text => TinyModel.AllLogits(model.Runner, text))];
        BitNetSequence[] sequences = [.. texts.Select(text => model.Runner.CreateSequence(text.Length))];
        using BitNetBatch batch = model.Runner.CreateBatch(40);
        // The second joins late and leaves early, the third computes in two parts.
        (int Text, int Count)[][] steps = [[(0, 20)], [(0, 1), (1, 4), (2, 17)], [(2, 1), (0, 9), (1, 1)], [(0, 1)]];
        foreach ((int Text, int Count)[] step in steps)
        {
            batch.Clear();
            foreach ((int text, int count) in step)
                batch.Add(sequences[text], texts[text].AsSpan(sequences[text].Position, count));
            batch.Run();
            for (int i = 0; i < step.Length; i++)
                Assert.Equal(alone[step[i].Text][sequences[step[i].Text].Position - 1], batch.Logits(i).ToArray());
        }
        foreach (BitNetSequence sequence in sequences)
            sequence.Dispose();
    }

    [Fact]
    public void Any_number_of_threads_gives_the_same_bits()
    {
        using var model = new TinyModel(TinyModel.BitNet with { HiddenSize = 512, IntermediateSize = 1024 });
        int[] tokens = TinyModel.Tokens(70);
        int before = BitLabRuntime.NumThreads;
        try
        {
            BitLabRuntime.NumThreads = 1;
            float[][] one = TinyModel.AllLogits(model.Runner, tokens);
            BitLabRuntime.NumThreads = 3;
            Assert.Equal(one, TinyModel.AllLogits(model.Runner, tokens));
        }
        finally
        {
            BitLabRuntime.NumThreads = before;
        }
    }

    [Theory, MemberData(nameof(TinyModel.Shapes), MemberType = typeof(TinyModel))]
    public void All_kernels_give_the_same_bits(string shape)
    {
        using var model = new TinyModel(TinyModel.Shape(shape));
        int[] tokens = TinyModel.Tokens(20);
        float[][] expected = TinyModel.AllLogits(model.Runner, tokens);
        foreach (string kernel in KernelRegistry.ListAvailableKernels())
        {
            using IDisposable forced = KernelRegistry.Use(kernel);
            Assert.Equal(expected, TinyModel.AllLogits(model.Runner, tokens));
        }
    }

    [Fact]
    public void A_truncated_sequence_goes_on_as_if_the_rest_had_never_been()
    {
        using var model = new TinyModel();
        int[] tokens = TinyModel.Tokens(30);
        float[][] expected = TinyModel.AllLogits(model.Runner, tokens);
        using BitNetSequence sequence = model.Runner.CreateSequence(40);
        using BitNetBatch batch = model.Runner.CreateBatch(40);
        batch.Add(sequence, tokens.AsSpan(0, 20));
        batch.Run();
        batch.Clear();
        batch.Add(sequence, TinyModel.Tokens(15, seed: 9));
        batch.Run();
        batch.Clear();
        sequence.Truncate(20);
        batch.Add(sequence, tokens.AsSpan(20));
        batch.Run();
        Assert.Equal(expected[29], batch.Logits(0).ToArray());
    }

    [Fact]
    public void Half_precision_keys_and_values_stay_near()
    {
        using var model = new TinyModel();
        using BitNetRunner half = BitNetRunner.Load(model.Folder, new BitNetRunnerOptions { KvCache = KvCacheType.Float16 });
        int[] tokens = TinyModel.Tokens(40);
        float[][] exact = TinyModel.AllLogits(model.Runner, tokens), got = TinyModel.AllLogits(half, tokens);
        Assert.NotEqual(exact[39], got[39]);
        // A key's error of 2^-11 can move an activation to the next of its 127 steps; a few of those are within 5 %.
        Assert.True(RelativeError([.. exact[39].Select(value => (double)value)], got[39]) < 0.05);
    }

    [Theory]
    [InlineData(TensorEncoding.HuggingFace)]
    public void The_packing_of_the_file_does_not_matter(TensorEncoding encoding)
    {
        using var model = new TinyModel(linear: encoding);
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(model.Folder);
        int[] tokens = TinyModel.Tokens(12);
        double[][] expected = new NaiveTransformer(checkpoint).Forward(tokens);
        Assert.True(RelativeError(expected[11], TinyModel.AllLogits(model.Runner, tokens)[11]) < 1e-4);
    }

    [Fact]
    public void A_decode_step_allocates_nothing()
    {
        using var model = new TinyModel();
        using BitNetSequence first = model.Runner.CreateSequence(90), second = model.Runner.CreateSequence(90);
        using BitNetBatch batch = model.Runner.CreateBatch(16);
        int[] tokens = [3];
        long allocated = 0;
        for (int step = 0; step < 60; step++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            batch.Clear();
            batch.Add(first, tokens);
            batch.Add(second, tokens);
            batch.Run();
            tokens[0] = step % 50;
            if (step >= 10)
                allocated += GC.GetAllocatedBytesForCurrentThread() - before;
        }
        Assert.Equal(0, allocated);
    }

    [Fact]
    public void What_cannot_be_added_is_refused_and_changes_nothing()
    {
        using var model = new TinyModel();
        using var other = new TinyModel();
        using BitNetSequence sequence = model.Runner.CreateSequence(5), stranger = other.Runner.CreateSequence(5);
        using BitNetBatch batch = model.Runner.CreateBatch(4);
        Assert.Throws<InvalidOperationException>(() => batch.Run());
        Assert.Throws<ArgumentException>(() => batch.Add(stranger, [1]));
        Assert.Throws<ArgumentException>(() => batch.Add(sequence, []));
        Assert.Contains("83", Assert.Throws<ArgumentException>(() => batch.Add(sequence, [1, 83])).Message);
        Assert.Throws<ArgumentException>(() => batch.Add(sequence, [-1]));
        Assert.Throws<InvalidOperationException>(() => batch.Add(sequence, [1, 2, 3, 4, 5]));
        Assert.Equal(0, batch.Count);
        batch.Add(sequence, [1, 2, 3]);
        Assert.Throws<ArgumentException>(() => batch.Add(sequence, [4]));
        Assert.Throws<InvalidOperationException>(() => batch.Logits(0));
        batch.Run();
        Assert.Throws<InvalidOperationException>(() => batch.Run());
        Assert.Throws<ArgumentOutOfRangeException>(() => batch.Logits(1));
        batch.Clear();
        Assert.Contains("3 of 5", Assert.Throws<InvalidOperationException>(() => batch.Add(sequence, [1, 2, 3])).Message);
        sequence.Dispose();
        Assert.Throws<ObjectDisposedException>(() => batch.Add(sequence, [1]));
    }

    [Fact]
    public void A_canceled_step_leaves_its_sequences_where_they_were()
    {
        using var model = new TinyModel();
        int[] tokens = TinyModel.Tokens(10);
        float[][] expected = TinyModel.AllLogits(model.Runner, tokens);
        using BitNetSequence sequence = model.Runner.CreateSequence(10);
        using BitNetBatch batch = model.Runner.CreateBatch(10);
        batch.Add(sequence, tokens);
        Assert.Throws<OperationCanceledException>(() => batch.Run(new CancellationToken(canceled: true)));
        Assert.Equal(0, sequence.Position);
        batch.Clear();
        batch.Add(sequence, tokens);
        batch.Run();
        Assert.Equal(expected[9], batch.Logits(0).ToArray());
    }

    [Fact]
    public void A_disposed_model_computes_no_more()
    {
        var model = new TinyModel();
        using BitNetSequence sequence = model.Runner.CreateSequence(5);
        using BitNetBatch batch = model.Runner.CreateBatch(4);
        batch.Add(sequence, [1]);
        model.Dispose();
        Assert.Throws<ObjectDisposedException>(() => batch.Run());
        Assert.Throws<ObjectDisposedException>(() => model.Runner.CreateSequence(5));
    }

    private static double RelativeError(double[] expected, float[] got)
    {
        double difference = Math.Sqrt(expected.Zip(got, (e, g) => (e - g) * (e - g)).Sum());
        return difference / Math.Sqrt(expected.Sum(e => e * e));
    }
}
