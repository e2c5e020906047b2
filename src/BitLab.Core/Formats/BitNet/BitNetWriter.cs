using System.Globalization;
using System.Text.Json;
using SafetensorsList = System.Collections.Generic.List<(
    string Name, BitLab.Core.SafetensorsDtype Dtype, long[] Shape, System.Action<System.IO.Stream> WriteTo)>;

namespace BitLab.Core;

/// <summary>Writes a BitNet model in any form, holding one tensor at a time.</summary>
public static class BitNetWriter
{
    internal const string LayoutKey = "packed_layout";

    /// <summary>Writes a model.</summary>
    /// <param name="target">A folder, or for GGUF a file; what is there is replaced.</param>
    /// <param name="format">The form.</param>
    /// <param name="source">The tensors.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellation">Ends the work between tensors; an unfinished file does not stay.</param>
    /// <exception cref="ArgumentException">An option cannot be.</exception>
    /// <exception cref="InvalidDataException">The model cannot be in this form: the message says why.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static void Write(
        string target, BitNetFormat format, IBitNetSource source, BitNetWriteOptions? options = null,
        CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(target);
        ArgumentNullException.ThrowIfNull(source);
        options ??= new BitNetWriteOptions();
        options.Check();
        source.Config.Check("The config");
        if (source.Config.Quantization is null && !options.Quantize)
        {
            throw new InvalidDataException(
                "The config says nothing of BitNet (quantization_config), so the layers are floats; "
                + "ask to quantize them if that is meant.");
        }
        BitNetTensor[] tensors = [.. source.Config.Tensors()];
        var streams = new BitNetTensorStreams(source, options, tensors.Length, cancellation);
        bool holdsRows = format is BitNetFormat.BitLab or BitNetFormat.BitLabDense or BitNetFormat.GgufTQ1 or BitNetFormat.GgufTQ2;
        if (!holdsRows && tensors.FirstOrDefault(
            tensor => streams.IsTernary(tensor) && source.GranularityOf(tensor.Name) == Granularity.PerChannel) is BitNetTensor rows)
            throw new InvalidDataException($"'{rows.Name}' has a scale a row, and {format} holds one.");
        if (format is BitNetFormat.GgufI2S or BitNetFormat.GgufTQ1 or BitNetFormat.GgufTQ2)
            WriteGguf(target, format, tensors, streams);
        else
            WriteFolder(target, format, tensors, streams);
    }

    private static void WriteFolder(string folder, BitNetFormat format, BitNetTensor[] tensors, BitNetTensorStreams streams)
    {
        var files = new SafetensorsList();
        foreach (BitNetTensor tensor in tensors)
        {
            if (streams.IsTernary(tensor))
                AddTernary(files, tensor, format, streams);
            else
                AddFloats(files, tensor, streams);
        }
        var metadata = new Dictionary<string, string> { ["format"] = "pt" };
        if (format is BitNetFormat.BitLab or BitNetFormat.BitLabDense)
            metadata[LayoutKey] = ((int)PackingOf(format)).ToString(CultureInfo.InvariantCulture);
        ShardedSafetensorsWriter.Write(folder, [.. files.OrderBy(tensor => SafetensorsWriter.Place(tensor.Dtype, tensor.Shape))], metadata, streams.Options.MaxFileBytes);
        AtomicFile.Write(Path.Combine(folder, "config.json"), stream =>
        {
            using var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
            ConfigFor(streams.Source.Config, format).WriteTo(writer);
        });
    }

    private static void AddTernary(SafetensorsList files, BitNetTensor tensor, BitNetFormat format, BitNetTensorStreams streams)
    {
        (int rows, int columns) = ((int)tensor.Shape[0], (int)tensor.Shape[1]);
        string module = tensor.Name[..^BitNetConfig.WeightSuffix.Length];
        string scaleName = module + HuggingFaceNames.ScaleSuffix;
        switch (format)
        {
            case BitNetFormat.HuggingFaceMaster:
                files.Add((tensor.Name, SafetensorsDtype.BF16, [rows, columns], stream => streams.WriteMaster(stream, tensor)));
                break;
            case BitNetFormat.HuggingFace or BitNetFormat.HuggingFaceBitLinear:
                bool divides = format == BitNetFormat.HuggingFaceBitLinear;
                TensorEncoding encoding = streams.Options.Scales;
                files.Add((
                    tensor.Name, SafetensorsDtype.U8, [HuggingFacePacking.Quarter(rows), columns],
                    stream => streams.WriteTernary(stream, tensor, TensorEncoding.HuggingFace, default)));
                files.Add((scaleName, DtypeOf(encoding), [1], stream => streams.WriteScales(stream, tensor, encoding, divides)));
                break;
            default:
                WeightPacking packing = PackingOf(format);
                int scales = streams.Source.GranularityOf(tensor.Name) == Granularity.PerTensor ? 1 : rows;
                files.Add((
                    module + HuggingFaceNames.PackedSuffix, SafetensorsDtype.U8, PanelLayout.Shape(rows, columns, packing),
                    stream => streams.WritePanels(stream, tensor, packing)));
                files.Add((
                    scaleName, SafetensorsDtype.F32, [scales],
                    stream => streams.WriteScales(stream, tensor, TensorEncoding.F32, inverse: false)));
                break;
        }
    }

    private static void AddFloats(SafetensorsList files, BitNetTensor tensor, BitNetTensorStreams streams)
    {
        TensorEncoding encoding = streams.FloatEncodingOf(tensor);
        // Safetensors have no such type.
        if (encoding == TensorEncoding.Q8_0)
            encoding = TensorEncoding.F32;
        files.Add((
            tensor.Name, DtypeOf(encoding), [.. tensor.Shape],
            stream => streams.WriteFloats(stream, tensor, encoding, default)));
    }

    private static void WriteGguf(string path, BitNetFormat format, BitNetTensor[] tensors, BitNetTensorStreams streams)
    {
        (GgufTensorType type, TensorEncoding encoding, int multiple) = format switch
        {
            BitNetFormat.GgufI2S => (GgufTensorType.I2_S, TensorEncoding.I2_S, StridedPacking.GroupColumns),
            BitNetFormat.GgufTQ1 => (GgufTensorType.TQ1_0, TensorEncoding.TQ1_0, StridedPacking.TqBlockColumns),
            _ => (GgufTensorType.TQ2_0, TensorEncoding.TQ2_0, StridedPacking.TqBlockColumns),
        };
        BitNetConfig config = streams.Source.Config;
        string name = streams.Options.Name ?? Path.GetFileNameWithoutExtension(path);
        var metadata = config.ToGguf(type, name).ToList();
        metadata.AddRange(streams.Options.Metadata.Where(own => metadata.TrueForAll(value => value.Key != own.Key)));
        var infos = new List<(string Name, GgufTensorType Type, long[] Shape, Action<Stream> WriteTo)>();
        foreach (BitNetTensor tensor in tensors)
        {
            RowOrder order = GgufNames.OrderOf(tensor.Name, config);
            if (streams.IsTernary(tensor))
            {
                if (tensor.Shape[1] % multiple != 0)
                {
                    throw new InvalidDataException(
                        $"'{tensor.Name}' has {tensor.Shape[1]} columns; {type} needs a multiple of {multiple}.");
                }
                infos.Add((
                    GgufNames.FromHuggingFace(tensor.Name), type, [.. tensor.Shape],
                    stream => streams.WriteTernary(stream, tensor, encoding, order)));
                continue;
            }
            TensorEncoding floats = tensor.Shape.Count == 1 ? TensorEncoding.F32 : streams.FloatEncodingOf(tensor);
            infos.Add((
                GgufNames.FromHuggingFace(tensor.Name), GgufTypeOf(floats), [.. tensor.Shape],
                stream => streams.WriteFloats(stream, tensor, floats, order)));
        }
        GgufWriter.Write(path, metadata, infos);
    }

    private static BitNetConfig ConfigFor(BitNetConfig config, BitNetFormat format) => config with
    {
        Quantization = (config.Quantization ?? new BitNetQuantization()) with
        {
            LinearClass = format == BitNetFormat.HuggingFaceBitLinear ? BitNetLinearClass.BitLinear : BitNetLinearClass.AutoBitLinear,
            QuantizationMode =
                format == BitNetFormat.HuggingFaceMaster ? BitNetQuantizationMode.Online : BitNetQuantizationMode.Offline,
        },
    };

    private static WeightPacking PackingOf(BitNetFormat format) =>
        format == BitNetFormat.BitLabDense ? WeightPacking.Dense : WeightPacking.TwoBit;

    private static SafetensorsDtype DtypeOf(TensorEncoding encoding) => encoding switch
    {
        TensorEncoding.F16 => SafetensorsDtype.F16,
        TensorEncoding.BF16 => SafetensorsDtype.BF16,
        _ => SafetensorsDtype.F32,
    };

    private static GgufTensorType GgufTypeOf(TensorEncoding encoding) => encoding switch
    {
        TensorEncoding.F16 => GgufTensorType.F16,
        TensorEncoding.BF16 => GgufTensorType.BF16,
        TensorEncoding.Q8_0 => GgufTensorType.Q8_0,
        _ => GgufTensorType.F32,
    };
}
