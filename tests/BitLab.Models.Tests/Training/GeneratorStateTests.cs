using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models.Tests;

[Collection(nameof(UsesRandomNumbers))]
public class GeneratorStateTests
{
    [Fact]
    public void Every_state_that_a_generator_reaches_is_sound()
    {
        using var generator = new Generator(7);
        for (int i = 0; i < 1300; i++)
        {
            using Tensor state = generator.get_state();
            Assert.True(GeneratorState.IsSound(state), $"after {i} numbers");
            using Tensor number = randint(0, 100, [1], dtype: int64, generator: generator);
        }
    }

    [Theory]
    [InlineData(8, 0)]       // left = 0
    [InlineData(9, 0xFF)]    // left is too large
    [InlineData(12, 0)]      // not seeded
    [InlineData(16, 200)]    // next does not belong to left
    [InlineData(23, 0x80)]   // next is beyond all words
    public void A_state_that_none_reaches_is_not(int at, byte value)
    {
        using var generator = new Generator(7);
        using Tensor number = randint(0, 100, [1], dtype: int64, generator: generator), state = generator.get_state();
        state.bytes[at] = value;
        Assert.False(GeneratorState.IsSound(state));
    }
}
