using BitLab.Core;
using BitLab.Inference;
using BitLab.Inference.Tests;
using Spectre.Console;

namespace BitLab.Cli.Tests;

public sealed class CommandTests : IClassFixture<ModelFolder>
{
    private readonly ModelFolder folder;

    public CommandTests(ModelFolder folder) => this.folder = folder;

    [Fact]
    public async Task Info_lists_the_tensors_of_a_file()
    {
        string path = folder.In("two.safetensors");
        SafetensorsWriter.Write(path, [
            ("a.weight", SafetensorsDtype.F32, [2, 3], stream => stream.Write(new byte[24])),
            ("b", SafetensorsDtype.U8, [5], stream => stream.Write(new byte[5]))]);
        (int code, string output, _) = await Run("info", path);
        Assert.Equal(0, code);
        string[] lines = [.. output.Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0)];
        Assert.All(new[] { "tensor", "type", "shape", "bytes" }, word => Assert.Contains(word, lines[0]));
        Assert.Contains(lines, line => line.StartsWith("a.weight", StringComparison.Ordinal) && line.Contains("F32") && line.Contains("2 × 3") && line.EndsWith("24", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.StartsWith("b ", StringComparison.Ordinal) && line.Contains("U8") && line.EndsWith('5'));
        Assert.Equal("2 tensors, 29 bytes (29 B)", lines[^1]);
    }

    [Fact]
    public async Task Info_shows_a_model_and_its_shape()
    {
        (int code, string output, _) = await Run("info", folder.Model);
        Assert.Equal(0, code);
        Assert.Contains("model.layers.1.mlp.down_proj.packed_weight", output);
        Assert.Contains("4, 2, 64", output);
        Assert.Contains("the embedding", output);
    }

    [Theory]
    [InlineData("gguf", "i2_s", "g.gguf")]
    [InlineData("gguf", "tq2_0", "t2.gguf")]
    [InlineData("gguf", "tq1_0", "t1.gguf")]
    [InlineData("hf", null, "hf")]
    [InlineData("hf", "bitlinear", "hfi")]
    [InlineData("bitlab", "dense", "dense")]
    public async Task A_converted_model_writes_on_as_before(string to, string? type, string name)
    {
        string target = folder.In(name);
        string[] form = type is null ? ["--to", to] : ["--to", to, "--type", type];
        Assert.Equal(0, (await Run(["convert", folder.Model, target, .. form])).Code);
        Assert.Equal(0, (await Run("info", target)).Code);
        // Forms that round the scale may choose another token where two are nearly as likely; the first ones are far apart.
        (int code, string text, string error) = await Run("generate", "--model", target, "--prompt", "hello", "--max-tokens", "3");
        Assert.True(code == 0, error);
        (_, string expected, _) = await Run("generate", "--model", folder.Model, "--prompt", "hello", "--max-tokens", "3");
        Assert.Equal(expected, text);
    }

    [Fact]
    public async Task Generate_continues_the_prompt_as_the_library_does()
    {
        using TextGenerator generator = TextGenerator.Load(folder.Model);
        GenerationResult expected = await generator.GenerateAsync("hello world", new GenerationOptions { MaxTokens = 12 });
        (int code, string output, _) = await Run("generate", "-m", folder.Model, "-p", "hello world", "-n", "12");
        Assert.Equal((0, "hello world" + expected.Text + Environment.NewLine), (code, output));
        // The prompt may come by standard input.
        (_, string fromInput, _) = await Typing("hello world", "generate", "-m", folder.Model, "-n", "12");
        Assert.Equal(output, fromInput);
    }

    [Fact]
    public async Task Sampling_with_a_seed_repeats_itself()
    {
        string[] arguments = ["generate", "-m", folder.Model, "-p", "a", "-n", "20", "--temperature", "2", "--top-k", "50", "--top-p", "0.9", "--seed", "5"];
        string first = (await Run(arguments)).Output;
        Assert.Equal(first, (await Run(arguments)).Output);
        Assert.NotEqual(first, (await Run([.. arguments[..^1], "6"])).Output);
    }

    [Fact]
    public async Task Chat_answers_line_by_line()
    {
        (int code, string output, string error) = await Typing("hello\nworld\n", "chat", "-m", folder.Model, "--system", "be brief", "-n", "4");
        Assert.True(code == 0, error);
        Assert.Equal(3, output.Split("> ").Length - 1);
        using TextGenerator generator = TextGenerator.Load(folder.Model);
        IReadOnlyList<int> tokens = ChatTemplate.BitNet.Render(generator.Tokenizer, [new("system", "be brief"), new("user", "hello")]);
        var text = new System.Text.StringBuilder();
        await foreach (GeneratedText piece in generator.StreamAsync(tokens, new GenerationOptions { MaxTokens = 4, StopTokens = [TinyVocabulary.EndOfTurn] }))
            text.Append(piece.Text);
        Assert.StartsWith($"> {text}{Environment.NewLine}> ", output);
    }

    [Fact]
    public async Task Random_writes_a_model_that_bench_measures()
    {
        Assert.Equal(0, (await Run("random", folder.In("r"), "--shape", "tiny", "--layers", "1", "--seed", "4")).Code);
        (int code, string output, string error) = await Run(
            "bench", "-m", folder.In("r"), "--prompt-tokens", "8", "--new-tokens", "4", "--repeat", "1");
        Assert.True(code == 0, error);
        foreach (string row in new[] { "prefill of 8 tokens", "decode of 4 tokens", "memory read", "of what the memory allows", "resident memory" })
            Assert.Contains(row, output);
    }

    [Fact]
    public async Task Quantize_makes_a_float_model_ternary()
    {
        string master = folder.In("master"), ternary = folder.In("ternary");
        Assert.Equal(0, (await Run("convert", folder.Model, master, "--to", "hf", "--type", "master")).Code);
        Assert.Equal(0, (await Run("quantize", master, ternary)).Code);
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(ternary);
        Assert.Equal(BitNetLinearKind.Ternary, checkpoint.LinearKind("model.layers.0.mlp.up_proj.weight"));
    }

    [Theory]
    [InlineData(2, "info")]
    [InlineData(2, "nothing")]
    [InlineData(2, "convert", "a", "b", "--to", "onnx")]
    [InlineData(2, "convert", "a", "b", "--to", "hf", "--type", "tq2_0")]
    [InlineData(2, "generate", "--prompt", "x")]
    [InlineData(2, "generate", "--model", "{model}", "--prompt", "x", "--top-p", "3")]
    [InlineData(2, "serve", "--model", "{model}", "--host", "example.com")]
    [InlineData(1, "info", "no-such-file.gguf")]
    [InlineData(1, "generate", "--model", "no-such-folder", "--prompt", "x")]
    [InlineData(1, "info", "{garbage}")]
    public async Task Mistakes_are_one_clear_line_and_an_exit_code(int expected, params string[] arguments)
    {
        string garbage = folder.In("garbage.gguf");
        File.WriteAllText(garbage, "this is no model");
        (int code, _, string error) = await Run(
            [.. arguments.Select(argument => argument.Replace("{model}", folder.Model).Replace("{garbage}", garbage))]);
        Assert.Equal(expected, code);
        Assert.StartsWith("bitlab: ", error);
        Assert.DoesNotContain("   at ", error);
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("info", "--help")]
    [InlineData("convert", "--help")]
    [InlineData("quantize", "--help")]
    [InlineData("random", "--help")]
    [InlineData("generate", "--help")]
    [InlineData("chat", "--help")]
    [InlineData("bench", "--help")]
    [InlineData("serve", "--help")]
    public async Task Help_is_everywhere(params string[] arguments)
    {
        (int code, string output, string error) = await Run(arguments);
        Assert.Equal((0, ""), (code, error));
        Assert.Contains("Usage:", output);
    }

    [Fact]
    public async Task Ctrl_C_ends_with_130()
    {
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        using var output = new StringWriter();
        var terminal = new Terminal(Console(output), TextReader.Null, output, TextWriter.Null);
        Assert.Equal(130, await BitLabCommand.RunAsync(["generate", "-m", folder.Model, "-p", "hello", "-n", "200"], terminal, cancelled.Token));
    }

    private static Task<(int Code, string Output, string Error)> Run(params string[] arguments) => Typing("", arguments);

    private static async Task<(int Code, string Output, string Error)> Typing(string input, params string[] arguments)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        using var reader = new StringReader(input);
        int code = await BitLabCommand.RunAsync(arguments, new Terminal(Console(output), reader, output, error), CancellationToken.None);
        return (code, output.ToString(), error.ToString());
    }

    private static IAnsiConsole Console(TextWriter output)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.No, ColorSystem = ColorSystemSupport.NoColors, Interactive = InteractionSupport.No, Out = new AnsiConsoleOutput(output),
        });
        console.Profile.Width = 200;
        return console;
    }
}
