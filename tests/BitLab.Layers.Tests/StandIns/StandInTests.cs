using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Activations = TorchSharp.torch.nn.Activations;

namespace BitLab.Layers.Tests;

[Collection(nameof(CountsWeightBytes))]
public class StandInTests
{
    private const int Length = 5, Keys = 7, Batch = 3, Width = 12, Heads = 4;

    public static TheoryData<bool, bool, bool, string> Attentions
    {
        get
        {
            var data = new TheoryData<bool, bool, bool, string>();
            foreach (bool bias in new[] { false, true })
                foreach (bool extraKeys in new[] { false, true })
                    foreach (bool widths in new[] { false, true })
                        foreach (string mask in new[] { "none", "padding", "attention", "both" })
                            data.Add(bias, extraKeys, widths, mask);
            return data;
        }
    }

    [Theory, MemberData(nameof(Attentions))]
    public void Attention_is_that_of_the_native_module(bool bias, bool extraKeys, bool widths, string mask)
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(1);
        // LibTorch wants keys and values of one width.
        long keyWidth = widths ? 9 : Width;
        using MultiheadAttention native = nn.MultiheadAttention(
            Width, Heads, dropout: 0, bias, add_bias_kv: extraKeys, add_zero_attn: extraKeys, kdim: keyWidth, vdim: keyWidth);
        Randomize(native);
        using var standIn = ManagedMultiheadAttention.From(native, Heads, addZeroAttention: extraKeys);
        Tensor query = randn(Length, Batch, Width), key = randn(Keys, Batch, keyWidth), value = randn(Keys, Batch, keyWidth);
        Tensor? padding = mask is "padding" or "both" ? Hidden(Batch, Keys) : null;
        Tensor? attention = mask is "attention" or "both" ? randn(Length, Keys) : null;
        (Tensor expected, Tensor weights) = native.call(query, key, value, padding, true, attention);
        (Tensor actual, Tensor actualWeights) = standIn.call(query, key, value, padding, true, attention);
        BitLinearTests.AssertClose(expected, actual);
        BitLinearTests.AssertClose(weights, actualWeights);
        BitLinearTests.AssertClose(expected, standIn.call(query, key, value, padding, false, attention).Item1);
    }

    [Fact]
    public void A_mask_can_differ_by_sequence_and_head()
    {
        using DisposeScope scope = NewDisposeScope();
        using MultiheadAttention native = nn.MultiheadAttention(Width, Heads);
        using var standIn = ManagedMultiheadAttention.From(native, Heads);
        Tensor x = randn(Length, Batch, Width), hidden = rand(Length, Length) < 0.5;
        hidden[.., 0] = tensor(false);
        Tensor same = standIn.call(x, x, x, attn_mask: hidden).Item1;
        BitLinearTests.AssertClose(
            same, standIn.call(x, x, x, attn_mask: hidden.unsqueeze(0).expand(Batch * Heads, -1, -1).contiguous()).Item1);
        // The second sequence alone, all heads of it, sees everything.
        Tensor own = hidden.unsqueeze(0).repeat(Batch * Heads, 1, 1);
        own[Heads..(2 * Heads)] = tensor(false);
        Tensor mixed = standIn.call(x, x, x, attn_mask: own).Item1;
        BitLinearTests.AssertClose(standIn.call(x, x, x).Item1[.., 1], mixed[.., 1]);
        BitLinearTests.AssertClose(same[.., 0], mixed[.., 0]);
    }

    [Theory]
    [InlineData(Activations.ReLU)]
    [InlineData(Activations.GELU)]
    public void An_encoder_layer_is_that_of_the_native_module(Activations activation)
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(2);
        using TransformerEncoderLayer native = nn.TransformerEncoderLayer(Width, Heads, 20, 0, activation);
        Randomize(native);
        using var standIn = ManagedTransformerEncoderLayer.From(native, Heads, activation, dropout: 0);
        Tensor x = randn(Length, Batch, Width), mask = randn(Length, Length), padding = Hidden(Batch, Length);
        BitLinearTests.AssertClose(native.call(x), standIn.call(x));
        BitLinearTests.AssertClose(native.call(x, mask), standIn.call(x, mask));
        BitLinearTests.AssertClose(native.call(x, mask, padding), standIn.call(x, mask, padding));
    }

    [Fact]
    public void An_encoder_is_that_of_the_native_module_and_converts()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(3);
        using TransformerEncoderLayer one = nn.TransformerEncoderLayer(Width, Heads, 20, 0.1);
        using TransformerEncoder native = nn.TransformerEncoder(one, 3);
        Randomize(native);
        native.eval();
        using var standIn = ManagedTransformerEncoder.From(native, Heads);
        Assert.False(standIn.training);
        Tensor x = randn(Length, Batch, Width), mask = randn(Length, Length), padding = Hidden(Batch, Length);
        BitLinearTests.AssertClose(native.call(x, mask, padding), standIn.call(x, mask, padding));
        BitLinearTests.AssertClose(native.call(x), standIn.call(x));

        ConversionReport report = standIn.ConvertToBitLinear(new() { KeepLast = false });
        Assert.Equal(3 * 6, report.Converted.Count());
        Assert.All(report.Rows, row => Assert.Equal(ConversionOutcome.Replaced, row.Outcome));
        standIn.Deploy();
        Tensor ternary = standIn.call(x);
        Assert.Equal(x.shape, ternary.shape);
        Assert.False(ternary.isnan().any().item<bool>());
    }

    [Fact]
    public void Dropout_is_only_for_training()
    {
        using DisposeScope scope = NewDisposeScope();
        using TransformerEncoderLayer native = nn.TransformerEncoderLayer(Width, Heads, 20, 0.5);
        using var standIn = ManagedTransformerEncoderLayer.From(native, Heads, dropout: 0.5);
        Tensor x = randn(Length, Batch, Width);
        Assert.True(standIn.training);
        Assert.False(standIn.call(x).Equals(standIn.call(x)));
        standIn.eval();
        BitLinearTests.AssertEqual(standIn.call(x), standIn.call(x));
    }

    [Fact]
    public void Gradients_reach_every_weight()
    {
        using DisposeScope scope = NewDisposeScope();
        using TransformerEncoderLayer native = nn.TransformerEncoderLayer(Width, Heads, 20, 0);
        using var standIn = ManagedTransformerEncoderLayer.From(native, Heads, dropout: 0);
        Assert.Equal(native.parameters().Sum(p => p.numel()), standIn.parameters().Sum(p => p.numel()));
        standIn.call(randn(Length, Batch, Width)).square().sum().backward();
        Assert.All(standIn.named_parameters(), p => Assert.True(p.parameter.grad is not null, p.name));
    }

    [Fact]
    public void A_wrong_number_of_heads_is_told()
    {
        using MultiheadAttention native = nn.MultiheadAttention(Width, Heads);
        Assert.Contains("5 heads do not divide 12", Assert.Throws<ArgumentException>(() => ManagedMultiheadAttention.From(native, 5)).Message);
    }

    private static void Randomize(nn.Module module)
    {
        using (no_grad())
        {
            foreach (Parameter parameter in module.parameters())
                parameter.copy_(0.4 * randn_like(parameter));
        }
    }

    // Not the first, so that no row is hidden as a whole.
    private static Tensor Hidden(long rows, long columns)
    {
        Tensor hidden = rand(rows, columns) < 0.4;
        hidden[.., 0] = tensor(false);
        return hidden;
    }
}
