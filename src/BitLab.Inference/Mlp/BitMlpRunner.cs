using System.Text.Json;
using BitLab.Core;

namespace BitLab.Inference;

/// <summary>A multilayer perceptron of ternary layers that was trained with BitLab.Models and saved with
/// <c>SavePretrained</c>: (layers - 1) times layer and ReLU, then a last layer.</summary>
/// <remarks>Its outputs have the bits of <c>BitMLPModel</c> in eval mode. Deployed weights are multiplied where they lie in the
/// mapped file; latent ones are packed once. Not for use by two threads at once.</remarks>
public sealed class BitMlpRunner : IDisposable
{
    /// <summary>The <c>model_type</c> in config.json.</summary>
    public const string ModelType = "bit_mlp";

    private readonly MlpLayer[] layers;
    private readonly BitQuantConfig quantization;
    private float[] input = [], output = [];

    private BitMlpRunner(MlpLayer[] layers, BitQuantConfig quantization)
    {
        this.layers = layers;
        this.quantization = quantization;
    }

    /// <summary>Features of the input.</summary>
    public int InChannels => layers[0].Weights.Columns;

    /// <summary>Features of the output: classes, for a classifier.</summary>
    public int OutChannels => layers[^1].Weights.Rows;

    /// <summary>Loads a model.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <returns>The model, which the caller disposes.</returns>
    /// <exception cref="InvalidDataException">A file contradicts its format, or they each other.</exception>
    /// <exception cref="BitLabException">The config says what cannot be.</exception>
    /// <exception cref="IOException">A file is not there or cannot be read.</exception>
    public static BitMlpRunner Load(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        (int[] widths, BitQuantConfig quantization) = ReadConfig(Path.Combine(folder, "config.json"));
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(folder, ShardedSafetensors.SingleName));
        var layers = new List<MlpLayer>();
        try
        {
            // ReLU and dropout are modules between the layers, so their numbers have gaps.
            string[] modules =
            [
                .. file.Entries.Keys.Select(key => key[..(key.LastIndexOf('.') + 1)]).Distinct()
                    .OrderBy(module => module.Length).ThenBy(module => module, StringComparer.Ordinal),
            ];
            if (modules.Length != widths.Length - 1)
                throw new InvalidDataException($"'{file.Path}' has {modules.Length} layers, and its config {widths.Length - 1}.");
            for (int i = 0; i < modules.Length; i++)
                layers.Add(MlpLayer.Read(file, modules[i], widths[i + 1], widths[i], quantization));
            return new BitMlpRunner([.. layers], quantization);
        }
        catch
        {
            layers.ForEach(layer => layer.Weights.Dispose());
            throw;
        }
    }

    /// <summary>Computes the outputs of some inputs. After the largest number of them, nothing is allocated.</summary>
    /// <param name="inputs">(n, in_channels), row by row.</param>
    /// <param name="outputs">(n, out_channels), overwritten: for a classifier the logits.</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public void Run(ReadOnlySpan<float> inputs, Span<float> outputs)
    {
        int rows = inputs.Length / InChannels;
        if (inputs.Length != (long)rows * InChannels)
            throw new ArgumentException($"Expected rows of {InChannels} inputs, got {inputs.Length}.", nameof(inputs));
        if (outputs.Length != (long)rows * OutChannels)
            throw new ArgumentException($"Expected ({rows}, {OutChannels}) outputs, got {outputs.Length}.", nameof(outputs));
        ReadOnlySpan<float> x = inputs;
        for (int i = 0; i < layers.Length; i++)
        {
            bool isLast = i == layers.Length - 1;
            Span<float> y = isLast ? outputs : Room(ref output, rows * layers[i].Weights.Rows);
            TernaryLinear.Forward(layers[i].Weights, quantization, x, layers[i].Bias, y);
            if (isLast)
                return;
            foreach (ref float value in y)
                value = MathF.Max(value, 0);
            (input, output) = (output, input);
            x = y;
        }
    }

    /// <summary>The class of one input.</summary>
    /// <param name="features">(in_channels).</param>
    /// <returns>The number of the largest output, of equal ones the first.</returns>
    /// <exception cref="ArgumentException">The length does not fit.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public int Classify(ReadOnlySpan<float> features)
    {
        Span<float> logits = OutChannels <= 1024 ? stackalloc float[OutChannels] : new float[OutChannels];
        Run(features, logits);
        int best = 0;
        for (int i = 1; i < logits.Length; i++)
            best = logits[i] > logits[best] ? i : best;
        return best;
    }

    /// <summary>Frees the weights.</summary>
    public void Dispose()
    {
        foreach (MlpLayer layer in layers)
            layer.Weights.Dispose();
    }

    private static Span<float> Room(ref float[] room, int length)
    {
        if (room.Length < length)
            room = new float[length];
        return room.AsSpan(0, length);
    }

    // The widths from the input to the output.
    private static (int[] Widths, BitQuantConfig Quantization) ReadConfig(string path) =>
        JsonFile.Read(path, root => ReadConfig(root, new JsonFields(root, $"'{path}'")));

    private static (int[] Widths, BitQuantConfig Quantization) ReadConfig(JsonElement root, JsonFields fields)
    {
        const int MaxLayers = 10_000;
        if (fields.Text("model_type") != ModelType)
            throw fields.Bad("model_type", ModelType);
        if (fields.Text("layer") is not (null or "BitLinear"))
            throw fields.Bad("layer", "BitLinear: only ternary layers run here");
        int count = fields.Integer("n_layers", 3, 1, MaxLayers);
        int hidden = fields.Integer("hidden_dim", 128, 1, PackedTernaryWeights.MaxColumns);
        int[] widths = new int[count + 1];
        Array.Fill(widths, hidden);
        widths[0] = fields.Integer("in_channels", 256, 1, PackedTernaryWeights.MaxColumns);
        widths[^1] = fields.Integer("out_channels", 10, 1, PackedTernaryWeights.MaxColumns);
        BitQuantConfig quantization = root.TryGetProperty("quant_config", out JsonElement quant)
            ? BitQuantConfig.FromJson(quant)
            : BitQuantConfig.Default;
        return (widths, quantization);
    }
}
