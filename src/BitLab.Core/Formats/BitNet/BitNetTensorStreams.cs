namespace BitLab.Core;

/// <summary>Writes the tensors of a source, each when its turn comes.</summary>
/// <param name="source">The tensors.</param>
/// <param name="options">How.</param>
/// <param name="count">How many there are, for who follows the progress.</param>
/// <param name="cancellation">Is looked at before each tensor.</param>
internal sealed class BitNetTensorStreams(IBitNetSource source, BitNetWriteOptions options, int count, CancellationToken cancellation)
{
    // Values that are encoded together, at least a row.
    private const int ChunkValues = 1 << 20;

    // Scales are few: those of written weights are kept until their own turn comes.
    private readonly Dictionary<string, float[]> scales = new(StringComparer.Ordinal);
    private int done;

    public IBitNetSource Source => source;

    public BitNetWriteOptions Options => options;

    /// <summary>Whether a tensor becomes trits: a linear layer that the config does not except.</summary>
    public bool IsTernary(BitNetTensor tensor) =>
        tensor.IsLinear && !(source.Config.Quantization?.Excepts(tensor.Name) ?? false);

    /// <summary>What a tensor's floats become.</summary>
    public TensorEncoding FloatEncodingOf(BitNetTensor tensor)
    {
        TensorEncoding encoding = options.Floats ?? source.EncodingOf(tensor.Name);
        bool fits = FloatDecoding.Decodes(encoding)
            && (encoding != TensorEncoding.Q8_0 || tensor.Shape[^1] % FloatDecoding.Q8BlockValues == 0);
        return fits ? encoding : TensorEncoding.F32;
    }

    public void WriteFloats(Stream stream, BitNetTensor tensor, TensorEncoding encoding, RowOrder order)
    {
        Begin(tensor);
        int row = (int)tensor.Shape[^1];
        long rows = tensor.Shape.Count == 1 ? 1 : tensor.Shape[0];
        int together = order.IsAsItIs ? (int)Math.Clamp(ChunkValues / row, 1, rows) : 1;
        float[] values = new float[together * row];
        byte[] bytes = new byte[FloatDecoding.ByteCount(encoding, values.Length)];
        for (long first = 0; first < rows; first += together)
        {
            Span<float> some = values.AsSpan(0, (int)Math.Min(together, rows - first) * row);
            source.ReadFloats(tensor.Name, order.FromFile((int)first) * (long)row, some);
            int byteCount = (int)FloatDecoding.ByteCount(encoding, some.Length);
            FloatEncoding.Encode(encoding, some, bytes.AsSpan(0, byteCount));
            stream.Write(bytes, 0, byteCount);
        }
    }

    public void WriteTernary(Stream stream, BitNetTensor tensor, TensorEncoding encoding, RowOrder order)
    {
        using PackedTernaryWeights weights = Read(tensor);
        TernaryWriter.Write(stream, weights, encoding, order);
    }

    public void WritePanels(Stream stream, BitNetTensor tensor, WeightPacking packing)
    {
        using PackedTernaryWeights weights = Read(tensor);
        using PackedTernaryWeights packed = weights.Packing == packing ? weights : weights.Repack(packing);
        for (int panel = 0; panel < PanelLayout.Panels(packed.Rows); panel++)
            stream.Write(packed.Panel(panel));
    }

    public void WriteScales(Stream stream, BitNetTensor tensor, TensorEncoding encoding, bool inverse)
    {
        if (!scales.Remove(tensor.Name, out float[]? values))
        {
            using PackedTernaryWeights weights = source.ReadTernary(tensor.Name);
            values = weights.Scales.ToArray();
        }
        if (inverse)
            values = [.. values.Select(value => Inverse(tensor, value))];
        byte[] bytes = new byte[FloatDecoding.ByteCount(encoding, values.Length)];
        FloatEncoding.Encode(encoding, values, bytes);
        stream.Write(bytes);
    }

    /// <summary>Writes master weights as bfloat16. Of trits they are t · scale / density, whose absmean is the scale.</summary>
    public void WriteMaster(Stream stream, BitNetTensor tensor)
    {
        if (FloatDecoding.Decodes(source.EncodingOf(tensor.Name)))
        {
            WriteFloats(stream, tensor, TensorEncoding.BF16, default);
            return;
        }
        using PackedTernaryWeights read = Read(tensor);
        using PackedTernaryWeights weights = read.Packing == WeightPacking.TwoBit ? read : read.Repack(WeightPacking.TwoBit);
        sbyte[] trits = new sbyte[weights.Columns];
        long nonZero = 0;
        for (int row = 0; row < weights.Rows; row++)
        {
            weights.UnpackRow(row, trits);
            nonZero += trits.Length - trits.AsSpan().Count((sbyte)0);
        }
        double density = Math.Max(nonZero, 1) / ((double)weights.Rows * weights.Columns);
        float magnitude = (float)(weights.Scales[0] / density);
        float[] values = new float[weights.Columns];
        byte[] bytes = new byte[weights.Columns * sizeof(ushort)];
        for (int row = 0; row < weights.Rows; row++)
        {
            weights.UnpackRow(row, trits);
            for (int column = 0; column < values.Length; column++)
                values[column] = magnitude * trits[column];
            FloatEncoding.Encode(TensorEncoding.BF16, values, bytes);
            stream.Write(bytes);
        }
    }

    private static float Inverse(BitNetTensor tensor, float scale)
    {
        float inverse = 1f / scale;
        return float.IsFinite(inverse)
            ? inverse
            : throw new InvalidDataException($"'{tensor.Name}' has the scale {scale}, which has no inverse.");
    }

    private PackedTernaryWeights Read(BitNetTensor tensor)
    {
        Begin(tensor);
        PackedTernaryWeights weights = source.ReadTernary(tensor.Name);
        if ((weights.Rows, weights.Columns) != ((int)tensor.Shape[0], (int)tensor.Shape[1])
            || weights.Granularity != source.GranularityOf(tensor.Name))
        {
            weights.Dispose();
            throw new InvalidDataException($"The source of '{tensor.Name}' gave weights of another shape or granularity.");
        }
        scales[tensor.Name] = weights.Scales.ToArray();
        return weights;
    }

    private void Begin(BitNetTensor tensor)
    {
        cancellation.ThrowIfCancellationRequested();
        options.Progress?.Invoke(tensor.Name, done++, count);
    }
}
