using System.Text.Json.Nodes;
using BitLab.Core;
using BitLab.Inference;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models.Tests;

public class BitNetCheckpointTests
{
    private static readonly int[] Tokens = [1, 17, 5, 23, 0];

    private static readonly BitNetConfig[] Shapes =
        [TinyBitNet.BitNet, TinyBitNet.Llama, TinyBitNet.LlamaWithInputNorms, TinyBitNet.First];

    public static TheoryData<int, CheckpointForm> EveryShapeAndForm()
    {
        var data = new TheoryData<int, CheckpointForm>();
        for (int shape = 0; shape < Shapes.Length; shape++)
        {
            foreach (CheckpointForm form in Enum.GetValues<CheckpointForm>())
                data.Add(shape, form);
        }
        return data;
    }

    [Theory, MemberData(nameof(EveryShapeAndForm))]
    public void A_checkpoint_gives_the_logits_of_its_description(int shape, CheckpointForm form)
    {
        using DisposeScope scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        TinyBitNet tiny = TinyBitNet.WithClearRounding(Shapes[shape], form, Tokens);
        tiny.Write(folder.Path, form);
        double[][] expected = tiny.Naive(form).Logits(Tokens);

        using var model = (BitNetModel)AutoBitModel.FromPretrained(folder.Path);
        Assert.False(model.training);
        Assert.Equal(form != CheckpointForm.Online, model.IsDeployed);
        AssertLogits(expected, model.call(tensor(Tokens).unsqueeze(0))[0]);

        // And without LibTorch.
        using BitNetRunner runner = BitNetRunner.Load(folder.Path);
        using BitNetSequence sequence = runner.CreateSequence();
        using BitNetBatch batch = runner.CreateBatch();
        int entry = batch.Add(sequence, Tokens, LogitsFor.AllTokens);
        batch.Run();
        float[] logits = [.. Tokens.SelectMany((_, token) => batch.Logits(entry, token).ToArray())];
        AssertLogits(expected, tensor(logits).view(Tokens.Length, -1));
    }

    [Fact]
    public void The_description_s_layers_matter()
    {
        // Else a mistake in both would go unseen: each of these changes the logits by far more than the tolerance.
        TinyBitNet tiny = new(TinyBitNet.BitNet, seed: 3);
        double[] logits = tiny.Naive(CheckpointForm.Multiply).Logits(Tokens)[^1];
        Assert.All(
            [
                TinyBitNet.BitNet with { RopeTheta = 100 },
                TinyBitNet.BitNet with { HiddenAct = BitNetActivation.Silu },
                TinyBitNet.BitNet with { NumHiddenLayers = 1 },
                TinyBitNet.BitNet with { RmsNormEps = 0.1f },
            ],
            other =>
            {
                double[] otherLogits = new NaiveBitNet(
                    other,
                    tiny.Values.Where(t => !t.Key.EndsWith("_proj.weight")).ToDictionary(),
                    tiny.Values.Keys.Where(name => name.EndsWith("_proj.weight")).ToDictionary(n => n, n => tiny.Ternary(n, CheckpointForm.Multiply)))
                    .Logits(Tokens)[^1];
                Assert.True(logits.Zip(otherLogits, (a, b) => Math.Abs(a - b)).Max() > 1e-3 * logits.Max(Math.Abs));
            });
    }

    [Theory]
    [InlineData(CheckpointForm.Multiply)]
    [InlineData(CheckpointForm.Online)]
    public void A_checkpoint_in_several_files_is_that_in_one(CheckpointForm form)
    {
        using DisposeScope scope = NewDisposeScope();
        var tiny = new TinyBitNet(TinyBitNet.Llama, seed: 5);
        using var folder = new TemporaryFolder();
        tiny.Write(folder.Path, form, files: 3);
        using BitModel sharded = AutoBitModel.FromPretrained(folder.Path);
        using BitNetModel whole = BitNetModelTests.Load(tiny, form);
        Tensor ids = tensor(Tokens).unsqueeze(0);
        Assert.True(whole.call(ids).Equals(sharded.call(ids)));
    }

    [Fact]
    public void Master_weights_load_exactly_and_train_on()
    {
        using DisposeScope scope = NewDisposeScope();
        var tiny = new TinyBitNet(TinyBitNet.LlamaWithInputNorms, seed: 2);
        using BitNetModel model = BitNetModelTests.Load(tiny, CheckpointForm.Online);
        foreach ((string name, Tensor value) in model.state_dict())
            Assert.Equal(tiny.Values[name], value.data<float>().ToArray());
        model.train();
        model.call(tensor(Tokens).unsqueeze(0)).square().sum().backward();
        Assert.All(model.parameters(), parameter => Assert.NotNull(parameter.grad));
    }

    [Fact]
    public void The_config_that_the_first_reproductions_have_is_understood()
    {
        using DisposeScope scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        var tiny = new TinyBitNet(TinyBitNet.First, seed: 4);
        tiny.Write(folder.Path, CheckpointForm.Online);
        Edit(folder["config.json"], config =>
        {
            config["model_type"] = "llama";
            config["architectures"] = new JsonArray("BitnetForCausalLM");
            config.Remove("quantization_config");
        });
        // They call the sub-norms otherwise.
        TinyBitNet.WriteSafetensors(folder["model.safetensors"], [.. tiny.Entries(CheckpointForm.Online).Select(entry => entry with
        {
            Name = entry.Name.Replace("attn_sub_norm", "inner_attn_ln", StringComparison.Ordinal)
                .Replace("ffn_sub_norm", "ffn_layernorm", StringComparison.Ordinal),
        })]);
        using BitModel model = AutoBitModel.FromPretrained(folder.Path);
        using BitNetModel expected = BitNetModelTests.Load(tiny, CheckpointForm.Online);
        Tensor ids = tensor(Tokens).unsqueeze(0);
        Assert.True(expected.call(ids).Equals(model.call(ids)));
    }

    [Fact]
    public void All_tensors_that_do_not_fit_are_named_in_one_error()
    {
        using var folder = new TemporaryFolder();
        var tiny = new TinyBitNet(TinyBitNet.BitNet, seed: 1);
        tiny.Write(folder.Path, CheckpointForm.Multiply);
        TinyBitNet.Entry[] entries = [.. tiny.Entries(CheckpointForm.Multiply)];
        TinyBitNet.WriteSafetensors(folder["model.safetensors"],
        [
            .. entries.Where(e => e.Name is not "model.norm.weight" and not "model.layers.1.self_attn.k_proj.weight"
                and not "model.layers.0.mlp.up_proj.weight_scale" and not "model.layers.0.input_layernorm.weight"
                and not "model.layers.1.mlp.down_proj.weight"),
            new("model.layers.2.self_attn.q_proj.weight", "BF16", [1], new byte[2]),
            new("model.extra", "F32", [2], new byte[8]),
            new("model.layers.0.input_layernorm.weight", "F32", [31], new byte[124]),
            new("model.layers.1.mlp.down_proj.weight", "U8", [32, 48], new byte[32 * 48]),
        ]);
        InvalidDataException error = Assert.Throws<InvalidDataException>(() => AutoBitModel.FromPretrained(folder.Path));
        Assert.Contains(folder.Path, error.Message);
        Assert.Contains("'model.norm.weight' is missing", error.Message);
        Assert.Contains("'model.layers.1.self_attn.k_proj.weight' is missing", error.Message);
        Assert.Contains("the scale of 'model.layers.0.mlp.up_proj.weight' is missing", error.Message);
        Assert.Contains("'model.layers.2.self_attn.q_proj.weight' is unexpected", error.Message);
        Assert.Contains("'model.extra' is unexpected", error.Message);
        Assert.Contains("'model.layers.0.input_layernorm.weight' is (31), expected (32)", error.Message);
        Assert.Contains("'model.layers.1.mlp.down_proj.weight' is (32, 48), expected (8, 48)", error.Message);
    }

    [Fact]
    public void A_code_that_is_no_trit_is_an_error()
    {
        using var folder = new TemporaryFolder();
        var tiny = new TinyBitNet(TinyBitNet.BitNet, seed: 1);
        tiny.WriteConfig(folder.Path, CheckpointForm.Multiply);
        TinyBitNet.Entry[] entries = [.. tiny.Entries(CheckpointForm.Multiply)];
        entries.Single(entry => entry.Name == "model.layers.1.mlp.gate_proj.weight").Bytes[77] |= 0b1100;
        TinyBitNet.WriteSafetensors(folder["model.safetensors"], entries);
        Assert.Contains(
            "model.layers.1.mlp.gate_proj.weight",
            Assert.Throws<InvalidDataException>(() => AutoBitModel.FromPretrained(folder.Path)).Message);
    }

    [Theory]
    [InlineData("llama", "quantization_config of BitNet")]
    [InlineData("bitnet", "quantization_config of BitNet")]
    public void A_float_transformer_is_refused(string type, string named)
    {
        using var folder = new TemporaryFolder();
        new TinyBitNet(type == "llama" ? TinyBitNet.Llama : TinyBitNet.BitNet, seed: 1).Write(folder.Path, CheckpointForm.Online);
        Edit(folder["config.json"], config => config.Remove("quantization_config"));
        BitLabException error = Assert.Throws<BitLabException>(() => AutoBitModel.FromPretrained(folder.Path));
        Assert.Contains(named, error.Message);
        Assert.Contains($"'{type}'", error.Message);
        Assert.Contains("model.layers.0.self_attn.q_proj.weight", error.Message);
    }

    [Fact]
    public void Float_weights_that_are_promised_packed_are_refused()
    {
        using var folder = new TemporaryFolder();
        new TinyBitNet(TinyBitNet.BitNet, seed: 1).Write(folder.Path, CheckpointForm.Online);
        Edit(folder["config.json"], config => config["quantization_config"]!["quantization_mode"] = "offline");
        Assert.Contains("offline", Assert.Throws<BitLabException>(() => AutoBitModel.FromPretrained(folder.Path)).Message);
    }

    [Theory]
    [InlineData("""{"model_type": "gpt2"}""", "gpt2")]
    [InlineData("""{"model_type": 3}""", "model_type")]
    [InlineData("[]", "config.json")]
    [InlineData("""{"model_type": "bitnet", "hidden_act": "gelu"}""", "hidden_act")]
    [InlineData("""{"model_type": "bitnet", "num_attention_heads": 3}""", "num_attention_heads")]
    [InlineData("""{"model_type": "bitnet", "quantization_config": {"quant_method": "awq"}}""", "quant_method")]
    public void What_is_wrong_with_a_config_is_named(string config, string named)
    {
        using var folder = new TemporaryFolder();
        new TinyBitNet(TinyBitNet.BitNet, seed: 1).Write(folder.Path, CheckpointForm.Online);
        File.WriteAllText(folder["config.json"], config);
        Exception error = Assert.ThrowsAny<Exception>(() => AutoBitModel.FromPretrained(folder.Path));
        Assert.True(error is BitLabException or InvalidDataException, error.ToString());
        Assert.Contains(named, error.Message);
        Assert.Contains("config.json", error.Message);
    }

    private static void Edit(string path, Action<JsonObject> change)
    {
        JsonObject config = JsonNode.Parse(File.ReadAllText(path))!.AsObject();
        change(config);
        File.WriteAllText(path, config.ToJsonString());
    }

    // Both compute the same formulas: float32 with sums of up to 64 products errs by less than 1e-5 of the largest, and two layers
    // carry that on without rounding any activation otherwise.
    private static void AssertLogits(double[][] expected, Tensor actual)
    {
        Assert.Equal([expected.Length, expected[0].Length], actual.shape);
        double largest = expected.Max(row => row.Max(Math.Abs));
        float[] values = actual.contiguous().data<float>().ToArray();
        double error = expected.SelectMany(row => row).Zip(values, (e, a) => Math.Abs(e - a)).Max() / largest;
        Assert.True(error < 1e-5, $"{error}");
    }
}
