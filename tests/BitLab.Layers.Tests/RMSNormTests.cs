using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Layers.Tests;

public class RMSNormTests
{
    [Fact]
    public void The_root_mean_square_of_three_and_four_is_the_root_of_twelve_and_a_half()
    {
        using DisposeScope scope = NewDisposeScope();
        using var norm = new RMSNorm(2, eps: 0);
        using (no_grad())
            norm.weight.copy_(tensor(new[] { 1f, 2f }));
        float root = MathF.Sqrt(12.5f);
        BitLinearTests.AssertClose(tensor(new[] { 3 / root, 8 / root }), norm.call(tensor(new[] { 3f, 4f })), 1e-6);
    }

    [Fact]
    public void Zeros_stay_zero_and_types_stay()
    {
        using DisposeScope scope = NewDisposeScope();
        using var norm = new RMSNorm(8);
        Assert.Equal(0f, norm.call(zeros(2, 8)).abs().sum().item<float>());
        Assert.Equal(bfloat16, norm.call(randn(2, 8).to(bfloat16)).dtype);
    }

    [Fact]
    public void Its_weight_follows_a_cast()
    {
        using var norm = new RMSNorm(8);
        norm.to(bfloat16);
        Assert.Equal(bfloat16, norm.weight.dtype);
        Assert.Equal(["weight"], norm.state_dict().Keys);
    }
}
