using BitLab.Core;

namespace BitLab.Inference.Tests;

/// <summary>The transformer in float64 and in the plainest loops, from the formulas of docs/architecture.md. The activations
/// are quantized as the layers quantize them, so their values stand on the same grid.</summary>
internal sealed class NaiveTransformer(BitNetCheckpoint checkpoint)
{
    private readonly BitNetConfig config = checkpoint.Config;

    /// <summary>Logits of all tokens of a text.</summary>
    public double[][] Forward(int[] tokens)
    {
        float[] embedding = checkpoint.ReadFloats("model.embed_tokens.weight");
        double[][] x = [.. tokens.Select(token => Doubles(embedding.AsSpan(token * config.HiddenSize, config.HiddenSize)))];
        for (int i = 0; i < config.NumHiddenLayers; i++)
        {
            string layer = $"model.layers.{i}.";
            double[][] h = [.. x.Select(row => Norm(row, layer + "input_layernorm"))];
            double[][] a = Attention(h, layer + "self_attn.");
            x = [.. x.Zip(a, Add)];
            h = [.. x.Select(row => Norm(row, layer + "post_attention_layernorm"))];
            x = [.. x.Zip(h.Select(row => FeedForward(row, layer + "mlp.")), Add)];
        }
        float[] head = config.TieWordEmbeddings ? embedding : checkpoint.ReadFloats("lm_head.weight");
        return [.. x.Select(row => Multiply(Doubles(head), Norm(row, "model.norm")))];
    }

    private double[][] Attention(double[][] h, string module)
    {
        int dim = config.HeadDim, group = config.NumAttentionHeads / config.NumKeyValueHeads;
        double[][] q = [.. h.Select((row, t) => Rotate(Linear(row, module + "q_proj"), t))];
        double[][] k = [.. h.Select((row, t) => Rotate(Linear(row, module + "k_proj"), t))];
        double[][] v = [.. h.Select(row => Linear(row, module + "v_proj"))];
        var outputs = new List<double[]>();
        for (int t = 0; t < h.Length; t++)
        {
            double[] output = new double[config.NumAttentionHeads * dim];
            for (int head = 0; head < config.NumAttentionHeads; head++)
            {
                int kv = head / group;
                double[] scores = [.. Enumerable.Range(0, t + 1).Select(s =>
                    Enumerable.Range(0, dim).Sum(d => q[t][(head * dim) + d] * k[s][(kv * dim) + d]) / Math.Sqrt(dim))];
                double[] weights = [.. scores.Select(score => Math.Exp(score - scores.Max()))];
                for (int d = 0; d < dim; d++)
                    output[(head * dim) + d] = Enumerable.Range(0, t + 1).Sum(s => weights[s] * v[s][(kv * dim) + d]) / weights.Sum();
            }
            if (config.HasSubNorms)
                output = Norm(output, module + "attn_sub_norm");
            outputs.Add(Linear(output, module + "o_proj"));
        }
        return [.. outputs];
    }

    private double[] FeedForward(double[] h, string module)
    {
        double[] gate = Linear(h, module + "gate_proj"), up = Linear(h, module + "up_proj");
        double[] product = [.. gate.Zip(up, (g, u) =>
            (config.HiddenAct == BitNetActivation.Silu ? g / (1 + Math.Exp(-g)) : Math.Pow(Math.Max(g, 0), 2)) * u)];
        if (config.HasSubNorms)
            product = Norm(product, module + "ffn_sub_norm");
        return Linear(product, module + "down_proj");
    }

    private double[] Rotate(double[] heads, int position)
    {
        int dim = config.HeadDim, half = dim / 2;
        double[] rotated = new double[heads.Length];
        for (int head = 0; head < heads.Length; head += dim)
        {
            for (int i = 0; i < half; i++)
            {
                double angle = position * Math.Pow(config.RopeTheta, -2.0 * i / dim);
                double a = heads[head + i], b = heads[head + half + i];
                rotated[head + i] = (a * Math.Cos(angle)) - (b * Math.Sin(angle));
                rotated[head + half + i] = (b * Math.Cos(angle)) + (a * Math.Sin(angle));
            }
        }
        return rotated;
    }

    private double[] Linear(double[] x, string module)
    {
        if (config.Quantization is { UseRmsNorm: true } quantization)
            x = Norm(x, checkpoint.ReadFloats(module + ".rms_norm.weight"), quantization.RmsNormEps);
        float[] floats = [.. x.Select(value => (float)value)];
        float range = MathF.Max(floats.Max(MathF.Abs), 1e-5f);
        double[] quantized = [.. floats.Select(value => Math.Clamp(MathF.Round(value * (127f / range)), -128, 127) * (double)range / 127)];
        return Multiply(Doubles(checkpoint.ReadFloats(module + ".weight")), quantized);
    }

    private double[] Norm(double[] x, string module) => Norm(x, checkpoint.ReadFloats(module + ".weight"), config.RmsNormEps);

    private static double[] Norm(double[] x, float[] weight, double epsilon)
    {
        double scale = 1 / Math.Sqrt(x.Average(value => value * value) + epsilon);
        return [.. x.Zip(weight, (value, w) => value * scale * w)];
    }

    private static double[] Multiply(double[] weights, double[] x)
    {
        double[] y = new double[weights.Length / x.Length];
        for (int j = 0; j < y.Length; j++)
        {
            for (int k = 0; k < x.Length; k++)
                y[j] += weights[(j * x.Length) + k] * x[k];
        }
        return y;
    }

    private static double[] Add(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];

    private static double[] Doubles(ReadOnlySpan<float> values)
    {
        double[] doubles = new double[values.Length];
        for (int i = 0; i < doubles.Length; i++)
            doubles[i] = values[i];
        return doubles;
    }
}
