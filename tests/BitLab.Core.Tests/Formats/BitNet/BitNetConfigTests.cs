using System.Diagnostics;
using System.Text;
using System.Text.Json;

namespace BitLab.Core.Tests;

public sealed class BitNetConfigTests : IDisposable
{
    private const string Official = """
        {"architectures":["BitNetForCausalLM"],"model_type":"bitnet","hidden_act":"relu2","hidden_size":2560,
        "intermediate_size":6912,"num_hidden_layers":30,"num_attention_heads":20,"num_key_value_heads":5,
        "max_position_embeddings":4096,"rms_norm_eps":1e-05,"rope_theta":500000.0,"tie_word_embeddings":true,
        "vocab_size":128256,"bos_token_id":128000,"eos_token_id":128001,"torch_dtype":"bfloat16","initializer_range":0.02,
        "quantization_config":{"quant_method":"bitnet","linear_class":"autobitlinear","quantization_mode":"offline"}}
        """;

    private readonly string folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void The_config_of_the_published_model_is_read()
    {
        BitNetConfig config = Read(Official);
        Assert.Equal(
            ("bitnet", 128256, 2560, 6912, 30, 20, 5, 128),
            (config.ModelType, config.VocabSize, config.HiddenSize, config.IntermediateSize, config.NumHiddenLayers,
                config.NumAttentionHeads, config.NumKeyValueHeads, config.HeadDim));
        Assert.Equal(
            (4096, 1e-5f, 500000f, BitNetActivation.Relu2, true, true, 128000, null, 0.02f),
            (config.MaxPositionEmbeddings, config.RmsNormEps, config.RopeTheta, config.HiddenAct, config.HasSubNorms,
                config.TieWordEmbeddings, config.BosTokenId, config.PadTokenId, config.InitializerRange));
        Assert.Equal([128001], config.EosTokenIds);
        Assert.Equal(
            new BitNetQuantization { LinearClass = BitNetLinearClass.AutoBitLinear, QuantizationMode = BitNetQuantizationMode.Offline },
            config.Quantization);
    }

    [Fact]
    public void Absent_fields_have_the_defaults_of_the_class()
    {
        Assert.Equal(new BitNetConfig(), Read("""{"model_type":"bitnet"}"""));
        BitNetConfig llama = Read("""{"model_type":"llama","quantization_config":{"quant_method":"bitnet","modules_to_not_convert":null}}""");
        Assert.Equal(
            (32000, 4096, 11008, 32, 32, 32, 128, 1e-6f, 10000f),
            (llama.VocabSize, llama.HiddenSize, llama.IntermediateSize, llama.NumHiddenLayers, llama.NumAttentionHeads,
                llama.NumKeyValueHeads, llama.HeadDim, llama.RmsNormEps, llama.RopeTheta));
        Assert.Equal((BitNetActivation.Silu, false, 1), (llama.HiddenAct, llama.HasSubNorms, llama.BosTokenId));
        Assert.Equal(new BitNetQuantization(), llama.Quantization);
        Assert.Equal(BitNetLinearClass.BitLinear, llama.Quantization!.LinearClass);
    }

    [Fact]
    public void The_first_reproductions_have_sub_norms_and_master_weights()
    {
        BitNetConfig config = Read("""{"architectures":["BitnetForCausalLM"],"model_type":"llama","hidden_act":"silu","weight_bits":1}""");
        Assert.Equal(("bitnet", true, BitNetActivation.Silu), (config.ModelType, config.HasSubNorms, config.HiddenAct));
        Assert.Equal(BitNetQuantizationMode.Online, config.Quantization!.QuantizationMode);
    }

    [Theory]
    [InlineData("""{"quant_method":"bitnet"}""", true)]
    [InlineData("""{"quant_method":"bitnet","quantization_mode":"online"}""", false)]
    [InlineData("""{"quant_method":"bitnet","linear_class":"bitlinear"}""", false)]
    public void A_file_that_does_not_say_what_its_scales_mean_is_warned_of(string quantization, bool isWarned)
    {
        using var writer = new StringWriter();
        using var listener = new TextWriterTraceListener(writer);
        Trace.Listeners.Add(listener);
        try
        {
            using JsonDocument document = JsonDocument.Parse($$"""{"model_type":"llama","quantization_config":{{quantization}}}""");
            BitNetConfig.FromJson(document.RootElement, $"'{folder}'");
        }
        finally
        {
            Trace.Listeners.Remove(listener);
        }
        // Other tests may trace meanwhile, of other files.
        Assert.Equal(isWarned, writer.ToString().Contains($"'{folder}', quantization_config has no linear_class"));
    }

    [Fact]
    public void What_is_written_is_read_back()
    {
        BitNetConfig[] configs =
        [
            Read(Official),
            new BitNetConfig { EosTokenIds = [], BosTokenId = null, PadTokenId = 7, RmsNormEps = 1.2345679e-6f, Quantization = null },
            Read("""{"model_type":"llama","head_dim":256,"eos_token_id":[2,11]}""") with
            {
                Quantization = new() { UseRmsNorm = true, RmsNormEps = 1e-5f, ModulesToNotConvert = ["lm_head", "model.layers.0"] },
            },
        ];
        foreach (BitNetConfig config in configs)
        {
            using var stream = new MemoryStream();
            using (var writer = new Utf8JsonWriter(stream))
                config.WriteTo(writer);
            Assert.Equal(config, Read(Encoding.UTF8.GetString(stream.ToArray())));
        }
    }

    [Fact]
    public void Tokens_that_end_a_text_also_come_from_the_generation_config()
    {
        File.WriteAllText(Path.Combine(folder, "config.json"), Official);
        Assert.Equal([128001], BitNetConfig.FromFile(Path.Combine(folder, "config.json")).EosTokenIds);
        File.WriteAllText(Path.Combine(folder, "generation_config.json"), """{"eos_token_id":[128001,128009]}""");
        Assert.Equal([128001, 128009], BitNetConfig.FromFile(Path.Combine(folder, "config.json")).EosTokenIds);
    }

    [Theory]
    [InlineData("hidden_size", "1000000000000")]
    [InlineData("hidden_size", "0")]
    [InlineData("hidden_size", "2561")]
    [InlineData("hidden_size", "\"2560\"")]
    [InlineData("hidden_size", "2560.5")]
    [InlineData("vocab_size", "-1")]
    [InlineData("vocab_size", "2147483647")]
    [InlineData("num_hidden_layers", "99999")]
    [InlineData("num_key_value_heads", "3")]
    [InlineData("head_dim", "127")]
    [InlineData("head_dim", "100000")]
    [InlineData("max_position_embeddings", "0")]
    [InlineData("rms_norm_eps", "0")]
    [InlineData("rms_norm_eps", "1e999")]
    [InlineData("rope_theta", "-5")]
    [InlineData("rope_scaling", """{"type":"linear","factor":2}""")]
    [InlineData("rope_parameters", """{"rope_type":"yarn","rope_theta":5}""")]
    [InlineData("partial_rotary_factor", "0.5")]
    [InlineData("hidden_act", "\"gelu\"")]
    [InlineData("attention_bias", "true")]
    [InlineData("mlp_bias", "true")]
    [InlineData("tie_word_embeddings", "1")]
    [InlineData("eos_token_id", "\"x\"")]
    [InlineData("eos_token_id", "-2")]
    [InlineData("bos_token_id", "[{}]")]
    [InlineData("model_type", "\"mistral\"")]
    [InlineData("model_type", "5")]
    [InlineData("quantization_config", "5")]
    [InlineData("quantization_config", """{"quant_method":"gptq"}""")]
    [InlineData("quantization_config", """{"quant_method":"bitnet","linear_class":"linear"}""")]
    [InlineData("quantization_config", """{"quant_method":"bitnet","quantization_mode":"later"}""")]
    [InlineData("quantization_config", """{"quant_method":"bitnet","modules_to_not_convert":[1]}""")]
    public void A_field_that_cannot_be_is_named(string field, string value)
    {
        string json = Official.Trim()[..^1] + $",\"{field}\":{value}}}";
        string message = Assert.Throws<InvalidDataException>(() => Read(json)).Message;
        Assert.Contains("'some/config.json'", message);
        string property = string.Concat(field.Split('_').Select(word => char.ToUpperInvariant(word[0]) + word[1..]));
        Assert.True(message.Contains(field) || message.Contains(property), message);
    }

    private static BitNetConfig Read(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return BitNetConfig.FromJson(document.RootElement, "'some/config.json'");
    }
}
