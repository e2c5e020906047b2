using System.Runtime.InteropServices;
using System.Text.Json;

namespace BitLab.Core.Tests;

/// <summary>Inputs and outputs of an independent implementation, in tests/vectors.</summary>
public class ReferenceVectorTests
{
    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "vectors");

    public static TheoryData<string, string> EveryCaseAndKernel()
    {
        var data = new TheoryData<string, string>();
        foreach (Case vector in Cases())
        {
            foreach (string kernel in KernelRegistry.ListAvailableKernels())
                data.Add(vector.Name, kernel);
        }
        return data;
    }

    public static TheoryData<string> EveryCase => [.. Cases().Select(vector => vector.Name)];

    [Theory, MemberData(nameof(EveryCase))]
    public void Quantized_weights_and_activations_are_equal(string name)
    {
        Case vector = Cases().Single(c => c.Name == name);
        using PackedTernaryWeights packed = Pack(vector);
        sbyte[] trits = new sbyte[vector.N * vector.K];
        packed.Unpack(trits);
        Assert.Equal(vector.Read<sbyte>("w_ternary"), trits);
        Assert.Equal(vector.Read<float>("w_scale"), packed.Scales.ToArray());
        if (vector.Config.ActivationDtype == ActivationDtype.Float32)
            return;

        float[] x = vector.Read<float>("x");
        sbyte[] expected = vector.Read<sbyte>("x_int8");
        bool isShared = vector.Config.ActivationGranularity == Granularity.PerTensor;
        int group = isShared ? x.Length : vector.K;
        var ranges = new List<float>();
        for (int at = 0; at < x.Length; at += group)
        {
            ranges.Add(Absmax.Range(x.AsSpan(at, group)));
            sbyte[] q = new sbyte[group];
            Absmax.Quantize(x.AsSpan(at, group), ranges[^1], q);
            Assert.Equal(expected.AsSpan(at, group).ToArray(), q);
        }
        Assert.Equal(vector.Read<float>("x_absmax"), ranges);
    }

    [Theory, MemberData(nameof(EveryCaseAndKernel))]
    public void Outputs_agree(string name, string kernel)
    {
        Case vector = Cases().Single(c => c.Name == name);
        using PackedTernaryWeights packed = Pack(vector);
        float[] bias = vector.HasBias ? vector.Read<float>("bias") : [];
        float[] y = new float[vector.M * vector.N], expected = vector.Read<float>("y");
        TernaryLinear.Forward(
            packed, vector.Config, vector.Read<float>("x"), bias, y, KernelRegistry.GetKernelByName(kernel, vector.Config));
        for (int row = 0; row < vector.M; row++)
        {
            Range outputs = (row * vector.N)..((row + 1) * vector.N);
            // The tolerance that the vectors' manifest states: 1e-5 of the row's largest output.
            float tolerance = 1e-5f * expected[outputs].Max(MathF.Abs);
            Assert.All(y[outputs].Zip(expected[outputs]), pair => Assert.InRange(pair.First - pair.Second, -tolerance, tolerance));
        }
    }

    private static PackedTernaryWeights Pack(Case vector) =>
        PackedTernaryWeights.Pack(vector.Read<float>("w"), vector.N, vector.K, vector.Config.WeightGranularity, vector.Name);

    private static IEnumerable<Case> Cases()
    {
        using JsonDocument manifest = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Folder, "manifest.json")));
        foreach (JsonElement vector in manifest.RootElement.GetProperty("cases").EnumerateArray())
        {
            string config = $$"""
                {
                    "weight_granularity": "{{vector.GetProperty("weight_granularity").GetString()}}",
                    "activation_dtype": "{{vector.GetProperty("activation_dtype").GetString()}}",
                    "activation_granularity": "{{vector.GetProperty("activation_granularity").GetString()}}"
                }
                """;
            yield return new Case(
                vector.GetProperty("name").GetString()!,
                vector.GetProperty("m").GetInt32(),
                vector.GetProperty("k").GetInt32(),
                vector.GetProperty("n").GetInt32(),
                BitQuantConfig.FromJson(config),
                vector.GetProperty("bias").GetBoolean());
        }
    }

    private sealed record Case(string Name, int M, int K, int N, BitQuantConfig Config, bool HasBias)
    {
        public T[] Read<T>(string part)
            where T : unmanaged =>
            MemoryMarshal.Cast<byte, T>(File.ReadAllBytes(Path.Combine(Folder, $"{Name}.{part}"))).ToArray();
    }
}
