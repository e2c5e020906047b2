using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Models.Tests;

public class BitNetTrainingTests
{
    private const string Text = "the quick brown fox jumps over the lazy dog. ";

    public static TheoryData<string> EveryShape => ["bitnet", "llama", "llama with input norms"];

    [Theory, MemberData(nameof(EveryShape))]
    public void Gradients_reach_every_parameter(string shape)
    {
        using DisposeScope scope = NewDisposeScope();
        using var model = new BitNetModel(ConfigOf(shape));
        Tensor ids = Characters(Text);
        Loss(model, ids).backward();
        foreach ((string name, Parameter parameter) in model.named_parameters())
        {
            Assert.True(parameter.grad is not null, name);
            Assert.True(parameter.grad.isfinite().all().item<bool>(), name);
            Assert.True(parameter.grad.abs().max().item<float>() > 0, name);
        }
    }

    [Fact]
    public void The_gradient_of_what_is_not_quantized_is_the_slope_of_the_loss()
    {
        // Norms and embedding are behind quantizers whose gradient is that of the identity, so only without quantization (lambda 0) is
        // the slope a check of everything else: rotation, attention, gate, norms.
        using DisposeScope scope = NewDisposeScope();
        manual_seed(7);
        using var model = new BitNetModel(ConfigOf("bitnet") with { InitializerRange = 0.3f });
        model.to(ScalarType.Float64);
        foreach (BitLayerBase layer in model.named_modules().Select(m => m.module).OfType<BitLayerBase>())
            layer.Lambda = 0;
        Tensor ids = Characters(Text)[.., ..12];
        Loss(model, ids).backward();
        foreach (string name in (string[])
            [
                "model.embed_tokens.weight", "model.norm.weight", "model.layers.0.input_layernorm.weight",
                "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight", "model.layers.1.self_attn.v_proj.weight",
                "model.layers.0.self_attn.attn_sub_norm.weight", "model.layers.0.mlp.gate_proj.weight", "model.layers.1.mlp.down_proj.weight",
            ])
        {
            Parameter parameter = model.get_parameter(name)!;
            Tensor direction = parameter.grad! / parameter.grad!.norm();
            double slope = parameter.grad!.norm().item<double>(), step = 1e-2;
            double Moved(double by)
            {
                using (no_grad())
                    parameter.add_(direction * by);
                double loss = Loss(model, ids).to(ScalarType.Float64).item<double>();
                using (no_grad())
                    parameter.sub_(direction * by);
                return loss;
            }
            // Norms are computed in float32, so a difference of losses errs by about 1e-6; the rest is the loss's own curve.
            Assert.InRange((Moved(step) - Moved(-step)) / (2 * step) / slope, 0.98, 1.02);
        }
    }

    [Theory]
    [InlineData("bitnet")]
    [InlineData("llama")]
    public void A_small_model_learns_a_text_by_heart(string shape)
    {
        using DisposeScope scope = NewDisposeScope();
        manual_seed(1);
        using var model = new BitNetModel(ConfigOf(shape) with { HiddenSize = 64, IntermediateSize = 128, HeadDim = 16 });
        var optimizer = optim.AdamW(model.parameters(), lr: 4e-3);
        var schedule = new TrainingSchedule(model, new TrainingOptions { Lambda = LambdaSchedule.Linear(40) }, optimizer);
        Tensor ids = Characters(Text);
        var losses = new List<float>();
        for (int step = 0; step < 120; step++)
        {
            using DisposeScope inStep = NewDisposeScope();
            optimizer.zero_grad();
            Tensor loss = Loss(model, ids);
            loss.backward();
            optimizer.step();
            schedule.Step();
            losses.Add(loss.item<float>());
        }
        Assert.Equal(1, schedule.Lambda);
        // Guessing among 28 characters costs ln 28 = 3.3.
        Assert.InRange(losses[0], 2.8, 4);
        Assert.True(losses[^1] < 0.3, $"{losses[^1]}");

        model.Deploy();
        Assert.Equal(Text[1..], Continue(model, Text[..1], Text.Length - 1));
    }

    private static BitNetConfig ConfigOf(string shape) => shape switch
    {
        "bitnet" => TinyBitNet.BitNet,
        "llama" => TinyBitNet.Llama,
        _ => TinyBitNet.LlamaWithInputNorms,
    } with
    { VocabSize = 28, InitializerRange = 0.1f };

    internal static Tensor Characters(string text) =>
        tensor(text.Select(c => (long)(c == ' ' ? 26 : c == '.' ? 27 : c - 'a')).ToArray()).unsqueeze(0);

    internal static Tensor Loss(BitNetModel model, Tensor ids)
    {
        long length = ids.size(1) - 1;
        Tensor logits = model.call(ids.narrow(1, 0, length));
        return nn.functional.cross_entropy(logits.flatten(0, 1), ids.narrow(1, 1, length).flatten());
    }

    private static string Continue(BitNetModel model, string start, int count)
    {
        using DisposeScope scope = NewDisposeScope();
        using var cache = new BitNetCache();
        Tensor next = Characters(start);
        var text = new List<char>();
        for (int i = 0; i < count; i++)
        {
            next = model.forward(next, null, cache: cache)[.., -1].argmax(dim: -1, keepdim: true);
            long token = next.item<long>();
            text.Add(token == 26 ? ' ' : token == 27 ? '.' : (char)('a' + token));
        }
        return string.Concat(text);
    }
}
