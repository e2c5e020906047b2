using System.Text;
using System.Text.Json;
using BitLab.Core;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>A training as a safetensors file: <c>model.*</c>, <c>best.*</c>, <c>adamw.{mean, square}.*</c>,
/// <c>adamw.step</c>, <c>random</c>, and the rest as JSON in the metadata.</summary>
internal static class TrainingCheckpoint
{
    private const string MetadataKey = "bitlab_training", ModelPrefix = "model.", BestPrefix = "best.";
    private const string MeanPrefix = "adamw.mean.", SquarePrefix = "adamw.square.", StepKey = "adamw.step", RandomKey = "random";

    public static void Save(
        string path, nn.Module model, (string Name, Parameter Value)[] parameters, AdamW.State[] moments, TrainingState state)
    {
        Dictionary<string, Tensor> tensors = Moments(parameters, moments);
        tensors[StepKey] = tensor(moments.Select(moment => moment.step).ToArray());
        tensors[RandomKey] = get_rng_state();
        foreach ((string key, Tensor value) in model.state_dict())
            tensors[ModelPrefix + key] = value;
        foreach ((string key, Tensor value) in state.BestWeights)
            tensors[BestPrefix + key] = value;
        SafetensorsTensors.Save(path, tensors, new Dictionary<string, string> { [MetadataKey] = Json(state) });
    }

    public static TrainingState Load(
        string path, nn.Module model, (string Name, Parameter Value)[] parameters, AdamW.State[] moments)
    {
        TrainingState state = ReadState(path);
        Dictionary<string, Tensor> loaded = SafetensorsTensors.Load(path), targets = Moments(parameters, moments);
        foreach ((string key, Tensor value) in model.state_dict())
        {
            targets[ModelPrefix + key] = value;
            // A best model is there as a whole or not at all.
            if (state.Best is not null && loaded.Keys.Any(name => name.StartsWith(BestPrefix, StringComparison.Ordinal)))
                targets[BestPrefix + key] = value;
        }
        using Tensor random = get_rng_state();
        Check(path, loaded, [
            .. targets.Select(target => (target.Key, target.Value)), (StepKey, zeros(moments.Length, int64)), (RandomKey, random)]);
        if (!GeneratorState.IsSound(loaded[RandomKey]))
            throw new BitLabException($"'{path}': '{RandomKey}' is no state of LibTorch's random numbers.");

        using IDisposable noGradients = no_grad();
        foreach ((string key, Tensor target) in targets)
        {
            if (key.StartsWith(BestPrefix, StringComparison.Ordinal))
                state.BestWeights[key[BestPrefix.Length..]] = loaded[key].to(target.device).DetachFromDisposeScope();
            else
                target.copy_(loaded[key]);
        }
        long[] steps = loaded[StepKey].data<long>().ToArray();
        for (int i = 0; i < moments.Length; i++)
            moments[i].step = steps[i];
        set_rng_state(loaded[RandomKey]);
        return state;
    }

    /// <summary>Copies a state dict into a model's own tensors.</summary>
    public static void CopyInto(nn.Module model, IReadOnlyDictionary<string, Tensor> weights)
    {
        using IDisposable noGradients = no_grad();
        foreach ((string key, Tensor value) in model.state_dict())
            value.copy_(weights[key]);
    }

    private static Dictionary<string, Tensor> Moments((string Name, Parameter Value)[] parameters, AdamW.State[] moments)
    {
        var tensors = new Dictionary<string, Tensor>();
        for (int i = 0; i < parameters.Length; i++)
        {
            tensors[MeanPrefix + parameters[i].Name] = moments[i].exp_avg;
            tensors[SquarePrefix + parameters[i].Name] = moments[i].exp_avg_sq;
        }
        return tensors;
    }

    private static void Check(string path, Dictionary<string, Tensor> loaded, (string Key, Tensor Like)[] expected)
    {
        var faults = new List<string>();
        foreach ((string key, Tensor like) in expected)
        {
            if (!loaded.TryGetValue(key, out Tensor? value))
                faults.Add($"'{key}' is missing");
            else if (value.dtype != like.dtype || !value.shape.SequenceEqual(like.shape))
                faults.Add($"'{key}' is {value.dtype} ({string.Join(", ", value.shape)}), not {like.dtype} ({string.Join(", ", like.shape)})");
        }
        faults.AddRange(loaded.Keys.Except(expected.Select(tensor => tensor.Key)).Order(StringComparer.Ordinal).Select(key => $"'{key}' is unexpected"));
        if (faults.Count > 0)
            throw new BitLabException($"'{path}' is the checkpoint of another model: {string.Join("; ", faults)}.");
    }

    private static string Json(TrainingState state)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            writer.WriteNumber("step", state.Step);
            writer.WriteNumber("epoch", state.Epoch);
            writer.WriteNumber("batches_of_epoch", state.BatchesOfEpoch);
            writer.WriteNumber("evaluations_since_best", state.EvaluationsSinceBest);
            writer.WriteNumber("loss_sum", state.LossSum);
            writer.WriteNumber("loss_count", state.LossCount);
            if (state.Best is Evaluation best)
            {
                writer.WriteNumber("best_step", state.BestStep);
                WriteNumber(writer, "best_loss", best.Loss);
                WriteNumber(writer, "best_metric", best.Metric);
                writer.WriteNumber("best_samples", best.Samples);
            }
            writer.WriteEndObject();
        }
        return Encoding.UTF8.GetString(buffer.ToArray());
    }

    // JSON has no word for what is not finite.
    private static void WriteNumber(Utf8JsonWriter writer, string name, double value)
    {
        if (double.IsFinite(value))
            writer.WriteNumber(name, value);
        else
            writer.WriteNull(name);
    }

    private static TrainingState ReadState(string path)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        if (!file.Metadata.TryGetValue(MetadataKey, out string? json))
            throw new BitLabException($"'{path}' is not the checkpoint of a training: its metadata have no {MetadataKey}.");
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            JsonElement root = document.RootElement;
            return new TrainingState
            {
                Step = Count("step"),
                Epoch = Count("epoch"),
                BatchesOfEpoch = Count("batches_of_epoch"),
                EvaluationsSinceBest = checked((int)Count("evaluations_since_best")),
                LossSum = root.GetProperty("loss_sum").GetDouble(),
                LossCount = Count("loss_count"),
                Best = root.TryGetProperty("best_step", out _)
                    ? new Evaluation(Number("best_loss"), Number("best_metric"), Count("best_samples"))
                    : null,
                BestStep = root.TryGetProperty("best_step", out _) ? Count("best_step") : 0,
            };

            long Count(string name) => root.GetProperty(name).GetInt64() is >= 0 and long count
                ? count
                : throw new FormatException($"{name} is negative");

            double Number(string name) => root.GetProperty(name) is { ValueKind: not JsonValueKind.Null } number ? number.GetDouble() : double.NaN;
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or OverflowException)
        {
            throw new BitLabException($"'{path}' is a checkpoint whose {MetadataKey} cannot be read: {e.Message}", e);
        }
    }
}
