using System.Runtime.InteropServices;
using BitLab.Core;

namespace BitLab.Inference;

/// <summary>The transformer itself, for all tokens of one step: the formulas of Hugging Face's <c>BitNetForCausalLM</c> and
/// <c>LlamaForCausalLM</c>.</summary>
/// <remarks>
/// A step's tokens are rows of a few matrices: x, the residual stream; h, what a linear layer takes; and the outputs of the
/// linear layers. The parts of each computation are divided over the threads of Core's team, and each output is computed
/// by one of them in one order.
/// </remarks>
internal sealed unsafe partial class ForwardPass : IDisposable
{
    // Below this, starting a thread takes longer than it saves.
    private const int ElementsPerThread = 1 << 14;

    private readonly BitNetRunner runner;
    private readonly BitNetConfig config;
    private readonly int queryWidth, keyWidth;
    private readonly NativeBuffer memory;
    private readonly float* x;
    private readonly float* h;
    private readonly float* queries;
    private readonly float* keys;
    private readonly float* values;
    private readonly float* attention;
    private readonly float* gate;
    private readonly float* up;
    private readonly float* normed;
    private readonly int* tokens;
    private readonly int* positions;
    private readonly int* rowEntries;
    private readonly List<BatchEntry> entries = [];
    private NativeBuffer? logits, scores;
    private int scoreParts, scoreStride, logitRows;
    private readonly BitQuantConfig perTensor;
    private readonly BitQuantConfig perRow;
    private IFloatKernels kernels;
    private IBitKernel kernel;
    private RotaryTable rotary;

    public ForwardPass(BitNetRunner runner, int maxTokens)
    {
        this.runner = runner;
        config = runner.Config;
        // Of what a kernel can tell apart, so that the default is recognized.
        perTensor = new BitQuantConfig { ActivationDtype = runner.Weights.Quantization.ActivationDtype };
        perRow = perTensor with { WeightGranularity = Granularity.PerChannel };
        kernels = ManagedFloatKernels.Instance;
        kernel = KernelRegistry.GetKernelForConfig(perTensor);
        rotary = null!; // set where it is used, in Run
        queryWidth = config.NumAttentionHeads * config.HeadDim;
        keyWidth = config.NumKeyValueHeads * config.HeadDim;
        int widest = Math.Max(Math.Max(config.HiddenSize, config.IntermediateSize), queryWidth);
        int[] widths =
        [
            config.HiddenSize, Math.Max(config.HiddenSize, queryWidth), queryWidth, keyWidth, keyWidth, queryWidth,
            config.IntermediateSize, config.IntermediateSize,
            config.Quantization is { UseRmsNorm: true } ? widest : 0,
        ];
        const int Align = NativeBuffer.Alignment / sizeof(float);
        long[] starts = new long[widths.Length + 1];
        for (int i = 0; i < widths.Length; i++)
            starts[i + 1] = starts[i] + (((long)widths[i] * maxTokens) + Align - 1) / Align * Align;
        memory = new NativeBuffer((starts[^1] + (3L * maxTokens)) * sizeof(float), holdsWeights: false);
        float* room = (float*)memory.Pointer;
        x = room + starts[0];
        h = room + starts[1];
        queries = room + starts[2];
        keys = room + starts[3];
        values = room + starts[4];
        attention = room + starts[5];
        gate = room + starts[6];
        up = room + starts[7];
        normed = room + starts[8];
        tokens = (int*)(room + starts[9]);
        positions = tokens + maxTokens;
        rowEntries = positions + maxTokens;
    }

    public bool IsDisposed => memory.IsClosed;

    public int TokenCount { get; private set; }

    public List<BatchEntry> Entries => entries;

    public ReadOnlySpan<BatchEntry> EntrySpan => CollectionsMarshal.AsSpan(entries);

    public int Add(BitNetSequence sequence, ReadOnlySpan<int> added, LogitsFor wanted)
    {
        int rows = wanted switch { LogitsFor.LastToken => 1, LogitsFor.AllTokens => added.Length, _ => 0 };
        for (int i = 0; i < added.Length; i++)
        {
            tokens[TokenCount + i] = added[i];
            positions[TokenCount + i] = sequence.Position + i;
            rowEntries[TokenCount + i] = entries.Count;
        }
        entries.Add(new BatchEntry(sequence, TokenCount, added.Length, logitRows, rows));
        sequence.IsInBatch = true;
        TokenCount += added.Length;
        logitRows += rows;
        return entries.Count - 1;
    }

    public float* Logits(int row) => (float*)logits!.Pointer + ((long)row * config.VocabSize);

    public void Clear()
    {
        entries.Clear();
        TokenCount = logitRows = 0;
    }

    public void Run(CancellationToken cancellation)
    {
        Prepare();
        BitNetWeights weights = runner.Weights;
        for (int row = 0; row < TokenCount; row++)
            weights.Embedding.CopyRow(tokens[row], x + ((long)row * config.HiddenSize));
        for (int i = 0; i < weights.Layers.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            Attention(weights.Layers[i], i);
            FeedForward(weights.Layers[i]);
        }
        Head(weights);
    }

    public void Dispose()
    {
        memory.Dispose();
        logits?.Dispose();
        scores?.Dispose();
    }

    private void Prepare()
    {
        kernel = KernelRegistry.GetKernelForConfig(perTensor);
        kernels = FloatKernels.For(kernel);
        rotary = runner.Rotary;
        scoreParts = ThreadTeam.NumThreads;
        scoreStride = 0;
        foreach (ref readonly BatchEntry entry in EntrySpan)
        {
            ObjectDisposedException.ThrowIf(entry.Sequence.IsDisposed, entry.Sequence);
            scoreStride = Math.Max(scoreStride, (int)(((long)entry.Sequence.Capacity + 15) / 16 * 16));
        }
        EnsureRoom(ref scores, (long)scoreParts * AttentionTask.MaxRows * scoreStride * sizeof(float));
        EnsureRoom(ref logits, (long)logitRows * config.VocabSize * sizeof(float));
    }

    private static void EnsureRoom(ref NativeBuffer? buffer, long byteCount)
    {
        if (byteCount == 0 || (buffer is not null && buffer.ByteCount >= byteCount))
            return;
        buffer?.Dispose();
        buffer = null;
        buffer = new NativeBuffer(byteCount, holdsWeights: false);
    }

    private void Attention(TransformerLayer layer, int index)
    {
        Normalize(x, layer.InputNorm, config.RmsNormEps, h);
        Project(h, layer.Query, queries, layer.Key, keys, layer.Value, values);
        var place = new PlaceJob(this, index);
        ThreadTeam.Run(ref place, RowParts(queryWidth));
        int next = 0;
        var attend = new AttendJob(this, index, &next);
        ThreadTeam.Run(ref attend, AttendParts(attend.Units));
        float* input = attention;
        if (layer.AttentionSubNorm is not null)
            Normalize(attention, layer.AttentionSubNorm, config.RmsNormEps, attention);
        Project(input, layer.Output, h);
        AddToResidual();
    }

    private void FeedForward(TransformerLayer layer)
    {
        Normalize(x, layer.PostAttentionNorm, config.RmsNormEps, h);
        Project(h, layer.Gate, gate, layer.Up, up);
        var job = new GateJob(this, layer.FeedForwardSubNorm);
        ThreadTeam.Run(ref job, RowParts(config.IntermediateSize));
        Project(gate, layer.Down, h);
        AddToResidual();
    }

    private void Head(BitNetWeights weights)
    {
        if (logitRows == 0)
            return;
        // The rows that want logits, one behind the other.
        foreach (ref readonly BatchEntry entry in EntrySpan)
        {
            for (int i = 0; i < entry.LogitRows; i++)
            {
                long row = entry.FirstRow + entry.Count - entry.LogitRows + i;
                kernels.Normalize(
                    x + (row * config.HiddenSize), weights.Norm.Data, config.RmsNormEps, config.HiddenSize,
                    h + ((long)(entry.FirstLogitRow + i) * config.HiddenSize));
            }
        }
        Multiply(weights.Head, h, logitRows, (float*)logits!.Pointer);
    }

    private void Normalize(float* from, FloatVector weight, float epsilon, float* to)
    {
        var job = new NormJob(kernels, from, weight, epsilon, TokenCount, to);
        ThreadTeam.Run(ref job, RowParts(weight.Length));
    }

    private void AddToResidual()
    {
        var job = new AddJob(x, h, (long)TokenCount * config.HiddenSize);
        ThreadTeam.Run(ref job, RowParts(config.HiddenSize));
    }

    private void Project(float* input, LinearLayer a, float* outputA, LinearLayer b, float* outputB, LinearLayer? c = null, float* outputC = null)
    {
        if (IsPlain(a) && IsPlain(b) && (c is null || IsPlain(c)))
        {
            ReadOnlySpan<TernaryTarget> targets =
                [new(a.Ternary!, outputA), new(b.Ternary!, outputB), new(c?.Ternary ?? a.Ternary!, outputC)];
            TernaryFanOut.Forward(targets[..(c is null ? 2 : 3)], kernel, input, TokenCount);
            return;
        }
        Project(input, a, outputA);
        Project(input, b, outputB);
        if (c is not null)
            Project(input, c, outputC);

        bool IsPlain(LinearLayer layer) =>
            layer.Ternary is { Granularity: Granularity.PerTensor } && layer.InputNorm is null && perTensor == BitQuantConfig.Default;
    }

    private void Project(float* input, LinearLayer layer, float* output)
    {
        if (layer.InputNorm is not null)
        {
            Normalize(input, layer.InputNorm, layer.InputNormEpsilon, normed);
            input = normed;
        }
        if (layer.Ternary is PackedTernaryWeights ternary)
        {
            TernaryLinear.Forward(ternary, ternary.Granularity == Granularity.PerTensor ? perTensor : perRow, kernel, input, TokenCount, bias: null, output);
        }
        else
        {
            Multiply(layer.Dense!, input, TokenCount, output);
        }
    }

    private void Multiply(DenseMatrix matrix, float* input, int rows, float* output)
    {
        var product = new DenseProduct(rows, matrix.Columns, matrix.Type, matrix.Data, input, output, matrix.Rows);
        var job = new DenseJob(kernels, product, matrix.Rows);
        long work = (long)matrix.Rows * matrix.Columns * rows / (1 << 16);
        ThreadTeam.Run(ref job, (int)Math.Clamp(work, 1, matrix.Rows));
    }

    private int RowParts(int width) => (int)Math.Clamp((long)TokenCount * width / ElementsPerThread, 1, TokenCount);
}
