using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;
using BitLab.Core;

namespace BitLab.Inference;

/// <summary>Models of random weights, for measurements and tests: written tensor by tensor, so that one of any size needs no
/// memory.</summary>
/// <remarks>Trits are equally likely. Scales keep the size of activations from layer to layer. Embeddings and head are uniform
/// with the config's <see cref="BitNetConfig.InitializerRange"/> as standard deviation, in bfloat16; norms are between 0.5 and
/// 1.5. The same seed gives the same files on every machine.</remarks>
public static class RandomBitNet
{
    private const int ChunkBytes = 1 << 20;

    /// <summary>Writes a folder with config.json, model.safetensors and, where the vocabulary has room for all bytes and the
    /// special tokens, tokenizer.json.</summary>
    /// <param name="folder">The folder; created where it is not there.</param>
    /// <param name="config">The model's shape; its <see cref="BitNetConfig.Quantization"/> is replaced by what fits the files,
    /// keeping norms on the layers' inputs where it asks for them.</param>
    /// <param name="seed">What the weights are drawn from.</param>
    /// <param name="linear">How linear layers are held: <see cref="TensorEncoding.Panels"/>, BitLab's own form, which is
    /// multiplied where it lies, or <see cref="TensorEncoding.HuggingFace"/>.</param>
    /// <exception cref="ArgumentException">The encoding is another.</exception>
    /// <exception cref="InvalidDataException">The config is not consistent.</exception>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public static void Write(string folder, BitNetConfig config, long seed, TensorEncoding linear = TensorEncoding.Panels)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentNullException.ThrowIfNull(config);
        if (linear is not (TensorEncoding.Panels or TensorEncoding.HuggingFace))
            throw new ArgumentException($"Random linear layers are Panels or HuggingFace, not {linear}.", nameof(linear));
        config = config with
        {
            Quantization = (config.Quantization ?? new BitNetQuantization()) with
            {
                LinearClass = BitNetLinearClass.AutoBitLinear,
                QuantizationMode = BitNetQuantizationMode.Offline,
                ModulesToNotConvert = [],
            },
        };
        config.Check("The config");
        Directory.CreateDirectory(folder);
        var random = new RandomStream((ulong)seed);
        var tensors = new List<(string Name, SafetensorsDtype Dtype, long[] Shape, Action<Stream> WriteTo)>();
        foreach (BitNetTensor tensor in config.Tensors())
        {
            // Each tensor has a stream of its own, so that none depends on how the others are held.
            ulong own = random.NextBits();
            if (tensor.IsLinear)
                tensors.AddRange(Linear(tensor, linear, own));
            else if (tensor.Shape.Count == 1)
                tensors.Add((tensor.Name, SafetensorsDtype.F32, [.. tensor.Shape], stream => WriteNorm(stream, tensor, own)));
            else
                tensors.Add((tensor.Name, SafetensorsDtype.BF16, [.. tensor.Shape], stream => WriteMatrix(stream, tensor, config, own)));
        }
        // Tensors of one byte or of one number would bring those behind them off the boundaries that panels and floats need.
        tensors = [.. tensors.OrderBy(tensor => tensor.Dtype == SafetensorsDtype.U8 ? 0 : tensor.Shape.Length == 2 ? 1 : 2)];
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), tensors);
        AtomicFile.Write(Path.Combine(folder, "config.json"), stream =>
        {
            using var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
            config.WriteTo(writer);
        });
        if (RandomVocabulary.Fits(config))
            AtomicFile.Write(Path.Combine(folder, RandomVocabulary.FileName), stream => RandomVocabulary.Write(stream, config));
    }

    private static IEnumerable<(string Name, SafetensorsDtype Dtype, long[] Shape, Action<Stream> WriteTo)> Linear(
        BitNetTensor tensor, TensorEncoding encoding, ulong seed)
    {
        int rows = (int)tensor.Shape[0], columns = (int)tensor.Shape[1];
        string module = tensor.Name[..^".weight".Length];
        yield return encoding == TensorEncoding.Panels
            ? (module + ".packed_weight", SafetensorsDtype.U8, PanelLayout.Shape(rows, columns, WeightPacking.TwoBit),
                stream => WritePanels(stream, rows, columns, seed))
            : (tensor.Name, SafetensorsDtype.U8, [(rows + 3L) / 4, columns],
                stream => WriteTrits(stream, (rows + 3L) / 4 * columns, seed));
        // The square of a trit is 2/3 on average.
        float scale = 1f / MathF.Sqrt(columns * (2f / 3f));
        yield return (module + ".weight_scale", SafetensorsDtype.F32, [1], stream =>
        {
            Span<byte> bytes = stackalloc byte[sizeof(float)];
            BinaryPrimitives.WriteSingleLittleEndian(bytes, scale);
            stream.Write(bytes);
        });
    }

    // A panel at a time, so that what pads the matrix can be made zero trits.
    private static void WritePanels(Stream stream, int rows, int columns, ulong seed)
    {
        byte[] table = TritTable();
        var random = new RandomStream(seed);
        byte[] panel = new byte[PanelLayout.PanelBytes(columns, WeightPacking.TwoBit)];
        Span<uint> words = MemoryMarshal.Cast<byte, uint>(panel.AsSpan());
        int lastColumns = columns - (PanelLayout.PaddedColumns(columns, WeightPacking.TwoBit) - PanelLayout.StepColumns);
        for (int first = 0; first < rows; first += PanelLayout.PanelRows)
        {
            Fill(panel, table, ref random);
            for (int i = 0; i < words.Length; i++)
            {
                int row = first + (i % PanelLayout.PanelRows);
                bool isLast = i >= words.Length - PanelLayout.PanelRows;
                if (row >= rows)
                    words[i] = PanelLayout.ZeroWord;
                else if (isLast && lastColumns < PanelLayout.StepColumns)
                    words[i] = WithoutColumns(words[i], lastColumns);
            }
            stream.Write(panel);
        }
    }

    private static uint WithoutColumns(uint word, int columns)
    {
        for (int column = columns; column < PanelLayout.StepColumns; column++)
        {
            int shift = (8 * (column % 4)) + (2 * (column / 4));
            word = (word & ~(3u << shift)) | (1u << shift);
        }
        return word;
    }

    private static void WriteTrits(Stream stream, long byteCount, ulong seed)
    {
        byte[] table = TritTable(), chunk = new byte[Math.Min(ChunkBytes, byteCount)];
        var random = new RandomStream(seed);
        for (long at = 0; at < byteCount; at += chunk.Length)
        {
            Span<byte> some = chunk.AsSpan(0, (int)Math.Min(chunk.Length, byteCount - at));
            Fill(some, table, ref random);
            stream.Write(some);
        }
    }

    private static void WriteNorm(Stream stream, BitNetTensor tensor, ulong seed)
    {
        var random = new RandomStream(seed);
        Span<byte> bytes = stackalloc byte[sizeof(float)];
        for (long i = 0; i < tensor.Shape[0]; i++)
        {
            BinaryPrimitives.WriteSingleLittleEndian(bytes, 0.5f + (float)random.NextDouble());
            stream.Write(bytes);
        }
    }

    private static void WriteMatrix(Stream stream, BitNetTensor tensor, BitNetConfig config, ulong seed)
    {
        // Uniform between -a and a has the standard deviation a / √3.
        float unit = config.InitializerRange * MathF.Sqrt(3) / 32768f;
        var random = new RandomStream(seed);
        long byteCount = tensor.Shape[0] * tensor.Shape[1] * sizeof(ushort);
        byte[] chunk = new byte[Math.Min(ChunkBytes, byteCount)];
        Span<ushort> numbers = MemoryMarshal.Cast<byte, ushort>(chunk.AsSpan());
        for (long at = 0; at < byteCount; at += chunk.Length)
        {
            ulong bits = 0;
            for (int i = 0; i < numbers.Length; i++, bits >>= 16)
            {
                if (i % 4 == 0)
                    bits = random.NextBits();
                numbers[i] = (ushort)(BitConverter.SingleToUInt32Bits((short)bits * unit) >> 16);
            }
            stream.Write(chunk.AsSpan(0, (int)Math.Min(chunk.Length, byteCount - at)));
        }
    }

    private static void Fill(Span<byte> bytes, byte[] table, ref RandomStream random)
    {
        ulong bits = 0;
        for (int i = 0; i < bytes.Length; i++, bits >>= 8)
        {
            if (i % 8 == 0)
                bits = random.NextBits();
            bytes[i] = table[(byte)bits];
        }
    }

    // A byte of four codes for each byte: each of the 81 there are has three or four.
    private static byte[] TritTable()
    {
        byte[] table = new byte[256];
        for (int i = 0; i < table.Length; i++)
        {
            int value = i * 81 / 256;
            table[i] = (byte)((value % 3) | (value / 3 % 3 << 2) | (value / 9 % 3 << 4) | (value / 27 << 6));
        }
        return table;
    }
}
