namespace BitLab.Core.Tests;

public class BitQuantConfigTests
{
    public static TheoryData<BitQuantConfig> EveryConfig => [.. BitQuantConfig.All];

    [Fact]
    public void The_default_is_the_recipe_of_BitNet()
    {
        Assert.Equal(
            (Granularity.PerTensor, ActivationDtype.Int8, Granularity.PerToken),
            (BitQuantConfig.Default.WeightGranularity, BitQuantConfig.Default.ActivationDtype, BitQuantConfig.Default.ActivationGranularity));
        Assert.Equal(BitQuantConfig.Default, new BitQuantConfig());
        Assert.Equal(BitQuantConfig.Default, BitQuantConfig.All[0]);
    }

    [Fact]
    public void There_are_eight_different_configs() => Assert.Equal(8, BitQuantConfig.All.Distinct().Count());

    [Theory, MemberData(nameof(EveryConfig))]
    public void Every_config_survives_JSON(BitQuantConfig config) =>
        Assert.Equal(config, BitQuantConfig.FromJson(config.ToJson()));

    [Fact]
    public void JSON_has_the_names_and_words_of_the_original() => Assert.Equal(
        """{"weight_granularity":"per_tensor","activation_dtype":"int8","activation_granularity":"per_channel"}""",
        BitQuantConfig.Default.ToJson());

    [Fact]
    public void Choices_that_the_original_does_not_know_are_written_only_where_they_are_made()
    {
        var config = new BitQuantConfig { WeightScale = WeightScale.Absmedian, Gradient = StraightThroughGradient.Clipped };
        Assert.EndsWith(""","weight_scale":"absmedian","gradient":"clipped"}""", config.ToJson());
        Assert.Equal(config, BitQuantConfig.FromJson(config.ToJson()));
        Assert.NotEqual(BitQuantConfig.Default, config);
        Assert.Equal(
            BitQuantConfig.Default, BitQuantConfig.FromJson("""{"weight_scale": "absmean", "gradient": "identity"}"""));
    }

    [Theory]
    [InlineData("per_token")]
    [InlineData("per_channel")]
    public void Both_words_for_per_token_are_read(string word) => Assert.Equal(
        Granularity.PerToken,
        BitQuantConfig.FromJson($$"""{"activation_granularity": "{{word}}"}""").ActivationGranularity);

    [Fact]
    public void Per_channel_activations_are_per_token_activations() => Assert.Equal(
        new BitQuantConfig { ActivationGranularity = Granularity.PerToken },
        new BitQuantConfig { ActivationGranularity = Granularity.PerChannel });

    [Theory]
    [InlineData("""{"weight_granularity": "per_galaxy"}""", "per_galaxy")]
    [InlineData("""{"weight_granularity": "per_token"}""", "per_token")]
    [InlineData("""{"activation_dtype": "int4"}""", "int4")]
    [InlineData("""{"activation_dtype": 8}""", "8")]
    [InlineData("""{"activation_granularity": null}""", "null")]
    [InlineData("""{"weight_granularty": "per_tensor"}""", "weight_granularty")]
    [InlineData("""{"weight_scale": "mode"}""", "absmedian")]
    [InlineData("""{"gradient": "none"}""", "clipped")]
    [InlineData("[]", "Array")]
    [InlineData("{", "JSON")]
    public void What_cannot_be_read_is_named(string json, string named) =>
        Assert.Contains(named, Assert.Throws<BitLabException>(() => BitQuantConfig.FromJson(json)).Message);

    [Fact]
    public void Values_outside_their_enum_are_refused()
    {
        Assert.Throws<ArgumentException>(() => new BitQuantConfig { WeightScale = (WeightScale)2 });
        Assert.Throws<ArgumentException>(() => new BitQuantConfig { Gradient = (StraightThroughGradient)2 });
    }

    [Fact]
    public void Weights_cannot_be_per_token() =>
        Assert.Throws<ArgumentException>(() => new BitQuantConfig { WeightGranularity = Granularity.PerToken });
}
