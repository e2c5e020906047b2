using System.Text.Json;

namespace BitLab.Core.Tests;

public sealed class BitNetConverterTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    public static TheoryData<BitNetFormat, BitNetFormat, string> EveryPair()
    {
        var pairs = new TheoryData<BitNetFormat, BitNetFormat, string>();
        foreach (BitNetFormat first in Enum.GetValues<BitNetFormat>().Where(format => format != BitNetFormat.HuggingFaceMaster))
        {
            foreach (BitNetFormat second in Enum.GetValues<BitNetFormat>().Where(format => format != BitNetFormat.HuggingFaceMaster))
            {
                pairs.Add(first, second, "bitnet");
                if (first is BitNetFormat.HuggingFace or BitNetFormat.GgufTQ1 || second == BitNetFormat.GgufI2S)
                    pairs.Add(first, second, "llama");
            }
        }
        return pairs;
    }

    [Theory, MemberData(nameof(EveryPair))]
    public void Any_form_becomes_any_other_and_stays_the_same_model(BitNetFormat first, BitNetFormat second, string type)
    {
        TinyModel model = Written(type);
        string a = Target("a", first), b = Target("b", second), c = Target("c", BitNetFormat.HuggingFace);
        BitNetConverter.Convert(Source, a, first);
        BitNetConverter.Convert(a, b, second);
        using (BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(b))
        {
            // The inverse of the inverse is rounded twice.
            model.AssertIs(checkpoint, tolerance: first == BitNetFormat.HuggingFaceBitLinear || second == BitNetFormat.HuggingFaceBitLinear ? 0.01f : 0);
            Assert.Equal(
                model.Config with { Quantization = null, InitializerRange = 0 },
                checkpoint.Config with { Quantization = null, InitializerRange = 0 });
        }
        if (first == BitNetFormat.HuggingFaceBitLinear || second == BitNetFormat.HuggingFaceBitLinear)
            return;
        BitNetConverter.Convert(b, c, BitNetFormat.HuggingFace);
        string direct = Target("d", BitNetFormat.HuggingFace);
        BitNetConverter.Convert(Source, direct, BitNetFormat.HuggingFace, new() { Floats = TensorEncoding.F32 });
        BitNetConverter.Convert(c, Target("e", BitNetFormat.HuggingFace), BitNetFormat.HuggingFace, new() { Floats = TensorEncoding.F32 });
        Assert.Equal(
            File.ReadAllBytes(Path.Combine(direct, "model.safetensors")),
            File.ReadAllBytes(Path.Combine(folder, "e", "model.safetensors")));
    }

    [Fact]
    public void Panels_lie_at_multiples_of_64_and_say_their_layout()
    {
        Written("bitnet");
        foreach (BitNetFormat format in (BitNetFormat[])[BitNetFormat.BitLab, BitNetFormat.BitLabDense])
        {
            string target = Target(format.ToString(), format);
            BitNetConverter.Convert(Source, target, format);
            using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(target, "model.safetensors"));
            Assert.Equal(format == BitNetFormat.BitLab ? "1" : "2", file.Metadata["packed_layout"]);
            SafetensorsEntry[] panels = [.. file.Entries.Values.Where(entry => entry.Name.EndsWith(".packed_weight"))];
            Assert.Equal(14, panels.Length);
            Assert.All(panels, panel => Assert.Equal(0, panel.Offset % 64));
            // No gap anywhere.
            long end = file.Entries.Values.Min(entry => entry.Offset);
            foreach (SafetensorsEntry entry in file.Entries.Values.OrderBy(entry => entry.Offset))
            {
                Assert.Equal(end, entry.Offset);
                Assert.Equal(0, entry.Offset % entry.Dtype.ElementBytes());
                end = entry.Offset + entry.ByteCount;
            }
            Assert.Equal(new FileInfo(file.Path).Length, end);
        }
    }

    [Fact]
    public void A_layout_of_another_version_is_refused()
    {
        Written("bitnet");
        SafetensorsWriter.Write(Path.Combine(Source, "model.safetensors"), [], new Dictionary<string, string> { ["packed_layout"] = "3" });
        Assert.Contains("layout '3'", Assert.Throws<InvalidDataException>(() => BitNetCheckpoint.Open(Source)).Message);
    }

    [Fact]
    public void Several_files_are_one_model()
    {
        TinyModel model = Written("bitnet");
        string target = Target("sharded", BitNetFormat.BitLab);
        BitNetConverter.Convert(Source, target, BitNetFormat.BitLab, new() { MaxFileBytes = 100_000 });
        Assert.False(File.Exists(Path.Combine(target, "model.safetensors")));
        Assert.InRange(Directory.GetFiles(target, "model-*.safetensors").Length, 3, 10);
        using (BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(target))
            model.AssertIs(checkpoint);
        BitNetConverter.Convert(Source, target, BitNetFormat.BitLab);
        Assert.Equal(["config.json", "model.safetensors"], Directory.GetFiles(target).Select(Path.GetFileName).Order());
    }

    [Fact]
    public void Master_weights_of_trits_quantize_to_the_same_trits_and_nearly_the_same_scale()
    {
        TinyModel model = Written("bitnet");
        string target = Target("masters", BitNetFormat.HuggingFaceMaster);
        BitNetConverter.Convert(Source, target, BitNetFormat.HuggingFaceMaster);
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(target);
        Assert.Equal(BitNetQuantizationMode.Online, checkpoint.Config.Quantization!.QuantizationMode);
        // bfloat16 has eight bits.
        model.AssertIs(checkpoint, tolerance: TinyModel.Scale / 256, kind: BitNetLinearKind.Master);
    }

    [Fact]
    public void Scales_a_row_go_where_there_is_room_for_them()
    {
        TinyModel model = new(TinyModel.SmallConfig);
        var source = new RowScales(model);
        BitNetWriter.Write(Target("rows", BitNetFormat.BitLab), BitNetFormat.BitLab, source);
        BitNetWriter.Write(Target("rows", BitNetFormat.GgufTQ1), BitNetFormat.GgufTQ1, source);
        foreach (BitNetFormat format in (BitNetFormat[])[BitNetFormat.BitLab, BitNetFormat.GgufTQ1])
        {
            using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(Target("rows", format));
            checkpoint.Check();
            using PackedTernaryWeights read = checkpoint.ReadTernary("model.layers.1.mlp.down_proj.weight");
            using PackedTernaryWeights expected = source.ReadTernary("model.layers.1.mlp.down_proj.weight");
            Assert.Equal(expected, read);
        }
        Assert.Contains("a scale a row", Assert.Throws<InvalidDataException>(
            () => BitNetWriter.Write(Target("no", BitNetFormat.GgufI2S), BitNetFormat.GgufI2S, source)).Message);
        Assert.Contains("a scale a row", Assert.Throws<InvalidDataException>(
            () => BitNetWriter.Write(Target("no", BitNetFormat.HuggingFace), BitNetFormat.HuggingFace, source)).Message);
    }

    [Fact]
    public void A_cancelled_conversion_leaves_nothing_behind()
    {
        Written("bitnet");
        using var cancellation = new CancellationTokenSource();
        int told = 0;
        var options = new BitNetWriteOptions
        {
            Progress = (_, done, of) =>
            {
                Assert.Equal((told++, 25), (done, of));
                if (done == 5)
                    cancellation.Cancel();
            },
        };
        string target = Target("cancelled", BitNetFormat.GgufTQ2);
        Assert.Throws<OperationCanceledException>(
            () => BitNetConverter.Convert(Source, target, BitNetFormat.GgufTQ2, options, cancellation.Token));
        Assert.Empty(Directory.GetFiles(folder));
    }

    [Fact]
    public void What_a_form_cannot_hold_is_said()
    {
        TinyModel model = Written("bitnet");
        Assert.Contains("source", Assert.Throws<ArgumentException>(() => BitNetConverter.Convert(Source, Source + "/", BitNetFormat.BitLab)).Message);
        var odd = new TinyModel(TinyModel.SmallConfig with { IntermediateSize = 320 });
        odd.WriteHuggingFace(Source);
        Assert.Contains("320 columns", Assert.Throws<InvalidDataException>(
            () => BitNetConverter.Convert(Source, Target("x", BitNetFormat.GgufTQ2), BitNetFormat.GgufTQ2)).Message);
        var source = new RowScales(new TinyModel(model.Config with { Quantization = null }));
        Assert.Contains("quantize", Assert.Throws<InvalidDataException>(
            () => BitNetWriter.Write(Target("x", BitNetFormat.BitLab), BitNetFormat.BitLab, source)).Message);
        BitNetWriter.Write(Target("x", BitNetFormat.BitLab), BitNetFormat.BitLab, source, new() { Quantize = true });
    }

    [Fact]
    public void The_tokenizer_goes_along()
    {
        Written("bitnet");
        File.WriteAllText(Path.Combine(Source, "tokenizer.json"), """
            {"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]},
            "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{N}{1,3}"}}]},
            "added_tokens":[{"id":40,"content":"<|eot|>","special":true},{"id":41,"content":"<tool>","special":false}]}
            """);
        File.WriteAllText(Path.Combine(Source, "tokenizer_config.json"), """{"add_bos_token":true,"chat_template":"{{x}}"}""");
        string gguf = Target("t", BitNetFormat.GgufI2S), back = Target("t2", BitNetFormat.BitLab), again = Target("t3", BitNetFormat.GgufTQ1);
        BitNetConverter.Convert(Source, gguf, BitNetFormat.GgufI2S);
        BitNetConverter.Convert(gguf, back, BitNetFormat.BitLab);
        BitNetConverter.Convert(back, again, BitNetFormat.GgufTQ1);
        BitNetConverter.Convert(Source, Target("copy", BitNetFormat.BitLab), BitNetFormat.BitLab);
        Assert.True(File.Exists(Path.Combine(folder, "copy", "tokenizer.json")));
        using GgufFile first = GgufFile.Open(gguf), last = GgufFile.Open(again);
        foreach (string key in first.Metadata.Keys.Where(key => key.StartsWith("tokenizer.")))
            Assert.Equal(first.Metadata[key], last.Metadata[key]);
        Assert.Equal("gpt2", first.Metadata["tokenizer.ggml.model"].AsString());
        Assert.Equal("llama-bpe", first.Metadata["tokenizer.ggml.pre"].AsString());
        string[] tokens = first.Metadata["tokenizer.ggml.tokens"].AsStrings();
        Assert.Equal(48, tokens.Length);
        Assert.Equal(["a", "b", "ab", "[PAD3]", "<|eot|>", "<tool>"], [tokens[0], tokens[1], tokens[2], tokens[3], tokens[40], tokens[41]]);
        int[] types = first.Metadata["tokenizer.ggml.token_type"].AsArray<int>();
        Assert.Equal([1, 5, 3, 4], [types[0], types[3], types[40], types[41]]);
        Assert.Equal(["a b"], first.Metadata["tokenizer.ggml.merges"].AsStrings());
        Assert.True(first.Metadata["tokenizer.ggml.add_bos_token"].AsBool());
        Assert.Equal("{{x}}", first.Metadata["tokenizer.chat_template"].AsString());
        Assert.Equal(("bitnet-b1.58", 40L), (first.Metadata["general.architecture"].AsString(), first.Metadata["general.file_type"].AsInteger()));
        Assert.Equal(("bitnet", "relu2"), (last.Metadata["general.architecture"].AsString(), last.Metadata["bitnet.hidden_activation"].AsString()));
    }

    [Fact]
    public void A_vocabulary_of_SentencePieces_kind_has_scores_by_the_order_of_its_merges()
    {
        Written("llama");
        File.WriteAllText(Path.Combine(Source, "tokenizer.json"), """
            {"model":{"byte_fallback":true,"unk_token":"<unk>","vocab":{"<unk>":0,"<0x0A>":1,"x":2,"y":3,"xy":4,"xx":5},"merges":[["x","x"],["x","y"]]},
            "added_tokens":[{"id":0,"content":"<unk>","special":true}]}
            """);
        string gguf = Target("t", BitNetFormat.GgufI2S);
        BitNetConverter.Convert(Source, gguf, BitNetFormat.GgufI2S);
        using GgufFile file = GgufFile.Open(gguf);
        Assert.Equal("llama", file.Metadata["tokenizer.ggml.model"].AsString());
        Assert.Equal([2, 6, 1, 1, 1, 1, 5], file.Metadata["tokenizer.ggml.token_type"].AsArray<int>()[..7]);
        Assert.Equal([0f, 0f, 0f, 0f, -2f, -1f, 0f], file.Metadata["tokenizer.ggml.scores"].AsArray<float>()[..7]);
        File.WriteAllText(Path.Combine(Source, "tokenizer.json"), """{"model":{"vocab":{"x":48},"merges":[]}}""");
        Assert.Contains("'x'", Assert.Throws<InvalidDataException>(() => BitNetConverter.Convert(Source, gguf, BitNetFormat.GgufI2S)).Message);
    }

    [Fact]
    public void Floats_are_held_as_asked()
    {
        TinyModel model = Written("bitnet");
        string target = Target("q8", BitNetFormat.GgufTQ2);
        BitNetConverter.Convert(Source, target, BitNetFormat.GgufTQ2, new() { Floats = TensorEncoding.Q8_0 });
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(target);
        Assert.Equal(TensorEncoding.Q8_0, checkpoint.Tensor("lm_head.weight").Encoding);
        Assert.Equal(TensorEncoding.F32, checkpoint.Tensor("model.norm.weight").Encoding);
        float[] read = checkpoint.ReadFloats("lm_head.weight"), expected = model.Floats["lm_head.weight"];
        // A block's largest magnitude is below 4: half a step of 4 / 127, and the scale's rounding.
        Assert.All(read.Zip(expected), pair => Assert.InRange(MathF.Abs(pair.First - pair.Second), 0, 4f / 127 / 2 * 1.1f));
    }

    private string Source => Directory.CreateDirectory(Path.Combine(folder, "source")).FullName;

    private string Target(string name, BitNetFormat format) =>
        Path.Combine(folder, format is BitNetFormat.GgufI2S or BitNetFormat.GgufTQ1 or BitNetFormat.GgufTQ2 ? name + ".gguf" : name);

    private TinyModel Written(string type)
    {
        BitNetConfig config = type == "bitnet" ? TinyModel.SmallConfig : TinyModel.SmallConfig with
        {
            ModelType = "llama",
            HasSubNorms = false,
            HiddenAct = BitNetActivation.Silu,
            TieWordEmbeddings = true,
            EosTokenIds = [2, 3],
        };
        var model = new TinyModel(config);
        model.WriteHuggingFace(Source);
        return model;
    }

    /// <summary>A model in memory whose layers have a scale a row.</summary>
    private sealed class RowScales(TinyModel model) : IBitNetSource
    {
        public BitNetConfig Config => model.Config;

        public TensorEncoding EncodingOf(string name) => model.Floats.ContainsKey(name) ? TensorEncoding.F32 : TensorEncoding.Panels;

        public void ReadFloats(string name, long first, Span<float> values) =>
            model.Floats[name].AsSpan((int)first, values.Length).CopyTo(values);

        public Granularity GranularityOf(string name) => Granularity.PerChannel;

        public PackedTernaryWeights ReadTernary(string name)
        {
            BitNetTensor tensor = Config.Tensors().Single(tensor => tensor.Name == name);
            float[] scales = [.. Enumerable.Range(0, (int)tensor.Shape[0]).Select(row => (1 + (row % 7)) / 8f)];
            return PackedTernaryWeights.FromTrits(model.Trits[name], scales, scales.Length, (int)tensor.Shape[1], Granularity.PerChannel);
        }
    }
}
