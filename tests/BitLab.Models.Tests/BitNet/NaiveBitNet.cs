using BitLab.Core;

namespace BitLab.Models.Tests;

/// <summary>A BitNet transformer as its description reads, in loops of doubles: what the real one is compared with.</summary>
internal sealed class NaiveBitNet(
    BitNetConfig config,
    IReadOnlyDictionary<string, float[]> floats,
    IReadOnlyDictionary<string, (sbyte[] Trits, float Scale)> ternary,
    bool isInt8 = true)
{
    /// <summary>Float32 activations err by some 1e-6 of the largest of their token, which is 127 steps of the int8 grid: 1e-4 steps.
    /// Ten times that cannot round to another integer than the doubles here.</summary>
    public const double ClearMargin = 1e-3;

    /// <summary>How near any activation was to the middle of two integers, in steps.</summary>
    public double Margin { get; private set; } = 0.5;

    /// <summary>The logits at each token.</summary>
    public double[][] Logits(int[] tokens)
    {
        double[][] x = [.. tokens.Select(token => Row("model.embed_tokens.weight", token, config.HiddenSize))];
        for (int layer = 0; layer < config.NumHiddenLayers; layer++)
        {
            string path = $"model.layers.{layer}";
            double[][] normed = Each(x, t => Norm($"{path}.input_layernorm", t));
            double[][] attended = Attention($"{path}.self_attn", normed);
            x = Add(x, attended);
            normed = Each(x, t => Norm($"{path}.post_attention_layernorm", t));
            x = Add(x, Each(normed, t => FeedForward($"{path}.mlp", t)));
        }
        string head = config.TieWordEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight";
        return Each(Each(x, t => Norm("model.norm", t)), t =>
            [.. Enumerable.Range(0, config.VocabSize).Select(token => Dot(Row(head, token, config.HiddenSize), t))]);
    }

    private double[][] Attention(string path, double[][] x)
    {
        int dim = config.HeadDim, heads = config.NumAttentionHeads, group = heads / config.NumKeyValueHeads;
        double[][] q = Each(x, t => Linear($"{path}.q_proj", t, heads * dim));
        double[][] k = Each(x, t => Linear($"{path}.k_proj", t, config.NumKeyValueHeads * dim));
        double[][] v = Each(x, t => Linear($"{path}.v_proj", t, config.NumKeyValueHeads * dim));
        var result = new double[x.Length][];
        for (int at = 0; at < x.Length; at++)
        {
            var mixed = new double[heads * dim];
            for (int head = 0; head < heads; head++)
            {
                double[] query = Rotated(q[at], head * dim, at);
                double[] scores =
                    [.. Enumerable.Range(0, at + 1).Select(other => Dot(query, Rotated(k[other], head / group * dim, other)) / Math.Sqrt(dim))];
                double highest = scores.Max(), sum = scores.Sum(score => Math.Exp(score - highest));
                for (int other = 0; other <= at; other++)
                {
                    for (int i = 0; i < dim; i++)
                        mixed[(head * dim) + i] += Math.Exp(scores[other] - highest) / sum * v[other][(head / group * dim) + i];
                }
            }
            if (config.HasSubNorms)
                mixed = Norm($"{path}.attn_sub_norm", mixed);
            result[at] = Linear($"{path}.o_proj", mixed, config.HiddenSize);
        }
        return result;
    }

    private double[] FeedForward(string path, double[] x)
    {
        double[] gate = Linear($"{path}.gate_proj", x, config.IntermediateSize), up = Linear($"{path}.up_proj", x, config.IntermediateSize);
        var gated = new double[gate.Length];
        for (int i = 0; i < gate.Length; i++)
        {
            double active = config.HiddenAct == BitNetActivation.Relu2
                ? Math.Max(gate[i], 0) * Math.Max(gate[i], 0)
                : gate[i] / (1 + Math.Exp(-gate[i]));
            gated[i] = active * up[i];
        }
        if (config.HasSubNorms)
            gated = Norm($"{path}.ffn_sub_norm", gated);
        return Linear($"{path}.down_proj", gated, config.HiddenSize);
    }

    private double[] Rotated(double[] all, int start, int position)
    {
        int half = config.HeadDim / 2;
        var turned = new double[config.HeadDim];
        for (int i = 0; i < half; i++)
        {
            double angle = position * Math.Pow(config.RopeTheta, -2.0 * i / config.HeadDim);
            (double a, double b) = (all[start + i], all[start + half + i]);
            turned[i] = (a * Math.Cos(angle)) - (b * Math.Sin(angle));
            turned[half + i] = (b * Math.Cos(angle)) + (a * Math.Sin(angle));
        }
        return turned;
    }

    private double[] Linear(string path, double[] x, int rows)
    {
        if (config.Quantization!.UseRmsNorm)
            x = Norm($"{path}.rms_norm", x, config.Quantization.RmsNormEps);
        x = Quantized(x);
        (sbyte[] trits, float scale) = ternary[path + ".weight"];
        var y = new double[rows];
        for (int row = 0; row < rows; row++)
        {
            double sum = 0;
            for (int column = 0; column < x.Length; column++)
                sum += trits[(row * x.Length) + column] * x[column];
            y[row] = scale * sum;
        }
        return y;
    }

    private double[] Quantized(double[] x)
    {
        if (!isInt8)
            return x;
        double range = Math.Max(x.Max(Math.Abs), 1e-5);
        return [.. x.Select(value =>
        {
            double steps = value * 127 / range, rounded = Math.Round(steps, MidpointRounding.ToEven);
            Margin = Math.Min(Margin, 0.5 - Math.Abs(steps - rounded));
            return rounded * range / 127;
        })];
    }

    private double[] Norm(string path, double[] x, double? eps = null)
    {
        float[] weight = floats[path + ".weight"];
        double root = Math.Sqrt((x.Sum(value => value * value) / x.Length) + (eps ?? config.RmsNormEps));
        return [.. x.Select((value, i) => value / root * weight[i])];
    }

    private double[] Row(string name, int row, int columns) => [.. floats[name].Skip(row * columns).Take(columns).Select(value => (double)value)];

    private static double[][] Each(double[][] x, Func<double[], double[]> map) => [.. x.Select(map)];

    private static double[][] Add(double[][] x, double[][] y) => [.. x.Zip(y, (a, b) => a.Zip(b, (p, q) => p + q).ToArray())];

    private static double Dot(double[] a, double[] b) => a.Zip(b, (p, q) => p * q).Sum();
}
