using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Models.Tests;

[Collection(nameof(UsesRandomNumbers))]
public class BitNetModelTests
{
    // Float32 activations are not rounded to integers, so what differs by the order of sums stays small: two layers of sums of up to
    // 48 products err by less than 1e-5 of the largest logit.
    private const double Tolerance = 1e-5;

    private static readonly BitQuantConfig FloatActivations = new() { ActivationDtype = ActivationDtype.Float32 };

    public static TheoryData<string> EveryShape => [.. Shapes.Keys];

    private static Dictionary<string, BitNetConfig> Shapes { get; } = new()
    {
        ["bitnet"] = TinyBitNet.BitNet,
        ["llama"] = TinyBitNet.Llama,
        ["llama with input norms"] = TinyBitNet.LlamaWithInputNorms,
        ["first reproductions"] = TinyBitNet.First,
    };

    [Theory, MemberData(nameof(EveryShape))]
    public void The_keys_and_shapes_are_those_of_Hugging_Face(string shape)
    {
        using BitModel model = AutoBitModel.FromConfig(new BitNetModelConfig(Shapes[shape]));
        Dictionary<string, Tensor> state = model.state_dict();
        Assert.Equal(
            Shapes[shape].Tensors().Select(tensor => (tensor.Name, string.Join(',', tensor.Shape))).Order(),
            state.Select(tensor => (tensor.Key, string.Join(',', tensor.Value.shape))).Order());
        Assert.Equal(state.Count, model.parameters().Count());
        Assert.All(model.parameters(), parameter => Assert.True(parameter.requires_grad));
    }

    [Fact]
    public void The_names_are_written_out_once()
    {
        using var model = new BitNetModel(TinyBitNet.Llama with { NumHiddenLayers = 1 });
        Assert.Equal(
            [
                "lm_head.weight",
                "model.embed_tokens.weight",
                "model.layers.0.input_layernorm.weight",
                "model.layers.0.mlp.down_proj.weight",
                "model.layers.0.mlp.gate_proj.weight",
                "model.layers.0.mlp.up_proj.weight",
                "model.layers.0.post_attention_layernorm.weight",
                "model.layers.0.self_attn.k_proj.weight",
                "model.layers.0.self_attn.o_proj.weight",
                "model.layers.0.self_attn.q_proj.weight",
                "model.layers.0.self_attn.v_proj.weight",
                "model.norm.weight",
            ],
            model.state_dict().Keys.Order(StringComparer.Ordinal));
    }

    [Theory, MemberData(nameof(EveryShape))]
    public void Train_eval_and_deployed_agree(string shape)
    {
        using DisposeScope scope = NewDisposeScope();
        int[] tokens = [3, 1, 4, 1, 5];
        TinyBitNet tiny = TinyBitNet.WithClearRounding(Shapes[shape], CheckpointForm.Online, tokens);
        using BitNetModel model = Load(tiny, CheckpointForm.Online);
        Tensor ids = tensor(tokens).unsqueeze(0);
        Tensor evaluated = model.call(ids);
        Assert.False(evaluated.requires_grad);
        model.train();
        Tensor trained = model.call(ids);
        Assert.True(trained.requires_grad);
        AssertClose(evaluated, trained);
        Assert.False(model.IsDeployed);
        model.Deploy();
        Assert.True(model.IsDeployed);
        Assert.True(evaluated.Equals(model.call(ids)));
        Assert.Throws<InvalidOperationException>(() => model.train());
    }

    [Fact]
    public void The_tied_head_is_the_embedding_itself()
    {
        using DisposeScope scope = NewDisposeScope();
        using var tied = new BitNetModel(TinyBitNet.BitNet);
        Assert.DoesNotContain("lm_head.weight", tied.state_dict().Keys);
        Parameter embedding = tied.get_parameter("model.embed_tokens.weight")!;
        Tensor ids = tensor(new long[] { 1, 2 }).unsqueeze(0);
        // The row of a token that is not in the text moves by the head alone.
        tied.call(ids).sum().backward();
        Assert.True(embedding.grad![7].abs().max().item<float>() > 0);
        Tensor before = tied.call(ids);
        using (no_grad())
            embedding[7].mul_(2);
        Tensor ratio = tied.call(ids)[0, .., 7] / before[0, .., 7];
        AssertClose(full_like(ratio, 2), ratio);

        using var separate = new BitNetModel(TinyBitNet.BitNet with { TieWordEmbeddings = false });
        separate.call(ids).sum().backward();
        Assert.Equal(0, separate.get_parameter("model.embed_tokens.weight")!.grad![7].abs().max().item<float>());
    }

    [Theory, MemberData(nameof(EveryShape))]
    public void Logits_with_a_cache_are_those_without(string shape)
    {
        using DisposeScope scope = NewDisposeScope();
        using BitNetModel model = New(Shapes[shape]);
        // Longer than the cache is at first.
        Tensor ids = randint(0, model.Architecture.VocabSize, [3, 70]);
        Tensor whole = model.call(ids);
        using var cache = new BitNetCache();
        var parts = new List<Tensor>();
        foreach ((int start, int count) in (ReadOnlySpan<(int, int)>)[(0, 9), (9, 1), (10, 1), (11, 30), (41, 1), (42, 27), (69, 1)])
        {
            Assert.Equal(start, cache.Length);
            parts.Add(model.forward(ids.narrow(1, start, count), null, cache: cache));
        }
        AssertClose(whole, cat(parts, dim: 1));
    }

    [Theory]
    [InlineData("bitnet", true)]
    [InlineData("bitnet", false)]
    [InlineData("llama", true)]
    [InlineData("llama", false)]
    public void A_padded_sequence_has_the_logits_that_it_has_alone(string shape, bool isLeft)
    {
        using DisposeScope scope = NewDisposeScope();
        using BitNetModel model = New(Shapes[shape]);
        Tensor[] sequences = [.. new[] { 7, 3, 1, 5 }.Select(length => randint(0, model.Architecture.VocabSize, [1, length]))];
        (Tensor ids, Tensor mask) = Padded(sequences, isLeft);
        Tensor together = model.forward(ids, mask);
        for (int i = 0; i < sequences.Length; i++)
        {
            long length = sequences[i].size(1), start = isLeft ? 7 - length : 0;
            AssertClose(model.call(sequences[i])[0], together[i].narrow(0, start, length));
        }
        Assert.True(together.isfinite().all().item<bool>());
        // What stands in the padding does not matter.
        Tensor others = where(mask.to(ScalarType.Bool), ids, full_like(ids, 9));
        Tensor real = mask.to(ScalarType.Bool);
        AssertClose(together[real], model.forward(others, mask)[real]);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_padded_batch_goes_on_with_a_cache(bool isLeft)
    {
        using DisposeScope scope = NewDisposeScope();
        using BitNetModel model = New(TinyBitNet.BitNet);
        Tensor[] sequences = [.. new[] { 6, 2, 4 }.Select(length => randint(0, 24, [1, length]))];
        (Tensor ids, Tensor mask) = Padded(sequences, isLeft);
        using var cache = new BitNetCache();
        model.forward(ids, mask, cache: cache);
        // A step without a mask, one with a part of padding, one without again.
        Tensor first = randint(0, 24, [3, 1]), second = randint(0, 24, [3, 2]), third = randint(0, 24, [3, 1]);
        Tensor secondMask = tensor(new long[,] { { 1, 1 }, { 0, 1 }, { 1, 0 } });
        Tensor afterFirst = model.forward(first, null, cache: cache);
        Tensor afterSecond = model.forward(second, secondMask, cache: cache);
        Tensor afterThird = model.forward(third, null, cache: cache);
        Assert.Equal(10, cache.Length);
        for (int i = 0; i < sequences.Length; i++)
        {
            Tensor real = second[i][secondMask[i].to(ScalarType.Bool)].unsqueeze(0);
            Tensor alone = model.call(cat([sequences[i], first[i].unsqueeze(0), real, third[i].unsqueeze(0)], dim: 1))[0];
            long length = sequences[i].size(1);
            AssertClose(alone[length], afterFirst[i, 0]);
            AssertClose(alone.narrow(0, length + 1, real.size(1)), afterSecond[i][secondMask[i].to(ScalarType.Bool)]);
            AssertClose(alone[-1], afterThird[i, 0]);
        }
    }

    [Fact]
    public void A_cache_can_be_emptied_and_used_for_another_batch()
    {
        using DisposeScope scope = NewDisposeScope();
        using BitNetModel model = New(TinyBitNet.BitNet), broken = New(TinyBitNet.BitNet);
        using var cache = new BitNetCache();
        model.forward(zeros([3, 4], ScalarType.Int64), ones(3, 4), cache: cache);
        cache.Dispose();
        Assert.Equal(0, cache.Length);
        Tensor ids = randint(0, 24, [2, 5]);
        AssertClose(model.call(ids), model.forward(ids, null, cache: cache));

        // A step that fails in the second layer counts for nothing.
        using (no_grad())
            broken.get_parameter("model.layers.1.self_attn.q_proj.weight")!.fill_(float.NaN);
        using var unlucky = new BitNetCache();
        Assert.Throws<QuantizationException>(() => broken.forward(zeros([3, 4], ScalarType.Int64), null, cache: unlucky));
        AssertClose(model.call(ids), model.forward(ids, null, cache: unlucky));
        Assert.Throws<QuantizationException>(() => broken.forward(ids, null, cache: unlucky));
        Assert.Equal(5, unlucky.Length);
        AssertClose(model.call(cat([ids, ids], dim: 1)).narrow(1, 5, 5), model.forward(ids, null, cache: unlucky));
    }

    [Fact]
    public void Int8_activations_do_not_change_what_a_cache_or_a_batch_gives()
    {
        using DisposeScope scope = NewDisposeScope();
        int[][] sequences = [[3, 1, 4, 1], [2, 7]];
        TinyBitNet tiny = TinyBitNet.WithClearRounding(TinyBitNet.BitNet, CheckpointForm.Multiply, sequences);
        using BitNetModel model = Load(tiny, CheckpointForm.Multiply);
        Tensor[] tensors = [.. sequences.Select(sequence => tensor(sequence).unsqueeze(0))];
        (Tensor ids, Tensor mask) = Padded(tensors, isLeft: true);
        Tensor together = model.forward(ids, mask);
        using var cache = new BitNetCache();
        Tensor steps = cat([.. Enumerable.Range(0, 4).Select(i => model.forward(ids.narrow(1, i, 1), mask.narrow(1, i, 1), cache: cache))], dim: 1);
        AssertClose(model.call(tensors[0])[0], together[0]);
        AssertClose(model.call(tensors[1])[0], together[1].narrow(0, 2, 2));
        AssertClose(together[mask.to(ScalarType.Bool)], steps[mask.to(ScalarType.Bool)]);
    }

    [Fact]
    public void Positions_can_be_given()
    {
        using DisposeScope scope = NewDisposeScope();
        using BitNetModel model = New(TinyBitNet.BitNet);
        Tensor ids = randint(0, 24, [2, 5]);
        Tensor counted = model.call(ids);
        AssertClose(counted, model.forward(ids, null, arange(5).unsqueeze(0)));
        // Only distances count.
        AssertClose(counted, model.forward(ids, null, (arange(5) + 40).unsqueeze(0).expand(2, 5)));
        Assert.NotEqual(counted, model.forward(ids, null, (arange(5) * 2).unsqueeze(0)));
        Assert.False(counted.allclose(model.forward(ids, null, (arange(5) * 2).unsqueeze(0)), 1e-3, 1e-3));
    }

    [Fact]
    public void Tokens_and_tensors_that_do_not_fit_are_refused()
    {
        using DisposeScope scope = NewDisposeScope();
        using BitNetModel model = New(TinyBitNet.BitNet), other = New(TinyBitNet.Llama);
        Tensor ids = zeros([2, 3], ScalarType.Int64);
        using var cache = new BitNetCache();
        model.forward(ids, null, cache: cache);
        Assert.Contains("vocabulary of 24", Assert.Throws<ArgumentException>(() => model.call(full_like(ids, 24))).Message);
        Assert.Contains("-1", Assert.Throws<ArgumentException>(() => model.call(full_like(ids, -1))).Message);
        Assert.Contains("(batch, tokens)", Assert.Throws<ArgumentException>(() => model.call(ids[0])).Message);
        Assert.Contains("(2, 0)", Assert.Throws<ArgumentException>(() => model.call(ids[.., ..0])).Message);
        Assert.Contains("Float32", Assert.Throws<ArgumentException>(() => model.call(ids.to(float32))).Message);
        Assert.Equal("attentionMask", Assert.Throws<ArgumentException>(() => model.forward(ids, ones(2, 4))).ParamName);
        Assert.Equal("positionIds", Assert.Throws<ArgumentException>(() => model.forward(ids, null, arange(4).unsqueeze(0))).ParamName);
        Assert.Contains("2 sequences", Assert.Throws<ArgumentException>(() => model.forward(ids[..1], null, cache: cache)).Message);
        Assert.Contains("another model", Assert.Throws<ArgumentException>(() => other.forward(ids, null, cache: cache)).Message);
        Assert.Equal(3, cache.Length);
        model.train();
        Assert.Throws<InvalidOperationException>(() => model.forward(ids, null, cache: cache));
        Assert.Contains(
            "HeadDim", Assert.Throws<ArgumentException>(() => new BitNetModel(TinyBitNet.BitNet with { HeadDim = 7 })).Message);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Layers_that_the_config_excepts_are_float(bool useRmsNorm)
    {
        using DisposeScope scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        BitNetConfig config = TinyBitNet.BitNet with
        {
            Quantization = TinyBitNet.BitNet.Quantization! with { ModulesToNotConvert = ["lm_head", "layers.0.mlp"], UseRmsNorm = useRmsNorm },
        };
        using var model = new BitNetModel(config);
        string[] floats = [.. model.named_modules().Where(m => m.module is Linear).Select(m => m.name)];
        Assert.Equal(
            ["model.layers.0.mlp.down_proj", "model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj"],
            floats.Order(StringComparer.Ordinal));
        Assert.Equal(11, model.named_modules().Count(m => m.module is BitLinear));
        Assert.Equal(useRmsNorm ? 11 : 0, model.state_dict().Keys.Count(key => key.EndsWith(".rms_norm.weight")));
        model.eval();
        Tensor ids = arange(5).unsqueeze(0), expected = model.call(ids);
        foreach (BitNetFormat? format in new BitNetFormat?[] { null, BitNetFormat.BitLab, BitNetFormat.HuggingFace })
        {
            if (format is null)
                model.SavePretrained(folder.Path);
            else
                model.SavePretrained(folder.Path, format.Value);
            using BitModel loaded = AutoBitModel.FromPretrained(folder.Path);
            Assert.Equal(3, loaded.named_modules().Count(m => m.module is Linear));
            Assert.True(expected.Equals(loaded.call(ids)));
        }
    }

    [Theory, MemberData(nameof(EveryShape))]
    public void A_model_can_be_cast(string shape)
    {
        using DisposeScope scope = NewDisposeScope();
        // Of 400 models of noise, 5 lie beyond the bound below: logits of so few numbers may be small.
        random.manual_seed(1);
        using BitNetModel model = New(Shapes[shape]);
        Tensor ids = randint(0, 24, [2, 5]);
        Tensor expected = model.call(ids);
        foreach (string state in (string[])["eval", "train", "deployed"])
        {
            model.to(ScalarType.BFloat16);
            if (state == "deployed")
                model.Deploy();
            else
                model.train(state == "train");
            Tensor logits = model.call(ids);
            Assert.Equal(ScalarType.BFloat16, logits.dtype);
            // bfloat16 has 8 bits, and some trits of rounded weights are others.
            Assert.InRange((logits.to(ScalarType.Float32) - expected).norm().item<float>() / expected.norm().item<float>(), 1e-5, 0.2);
            using var cache = new BitNetCache();
            if (!model.training)
                Assert.Equal(ScalarType.BFloat16, model.forward(ids, ones_like(ids), cache: cache).dtype);
        }
    }

    [Fact]
    public void A_new_model_has_the_config_s_noise()
    {
        using DisposeScope scope = NewDisposeScope();
        using var model = new BitNetModel(TinyBitNet.BitNet with { VocabSize = 4000, InitializerRange = 0.5f, Quantization = null });
        Assert.Equal(BitNetQuantizationMode.Online, model.Architecture.Quantization!.QuantizationMode);
        foreach ((string name, Parameter parameter) in model.named_parameters())
        {
            if (parameter.ndim == 1)
                Assert.True(parameter.Equals(ones_like(parameter)), name);
            else if (parameter.numel() > 1000)
                Assert.InRange(parameter.std().item<float>(), 0.45, 0.55);
        }
    }

    internal static BitNetModel Load(TinyBitNet tiny, CheckpointForm form)
    {
        using var folder = new TemporaryFolder();
        tiny.Write(folder.Path, form);
        return (BitNetModel)AutoBitModel.FromPretrained(folder.Path);
    }

    internal static void AssertClose(Tensor expected, Tensor actual)
    {
        Assert.Equal(expected.shape, actual.shape);
        double error = ((expected - actual).abs().max() / expected.abs().max()).item<float>();
        Assert.True(error < Tolerance, $"{error}");
    }

    private static BitNetModel New(BitNetConfig config)
    {
        var model = new BitNetModel(config with { InitializerRange = 0.2f }, FloatActivations);
        model.eval();
        return model;
    }

    private static (Tensor Ids, Tensor Mask) Padded(Tensor[] sequences, bool isLeft)
    {
        long longest = sequences.Max(sequence => sequence.size(1));
        Tensor Fill(Tensor sequence, Func<long, Tensor> make)
        {
            Tensor padding = make(longest - sequence.size(1)).to(sequence.dtype);
            return cat(isLeft ? [padding, sequence] : [sequence, padding], dim: 1);
        }
        return (
            cat([.. sequences.Select(s => Fill(s, n => zeros(1, n)))], dim: 0),
            cat([.. sequences.Select(s => Fill(ones_like(s), n => zeros(1, n)))], dim: 0));
    }
}
