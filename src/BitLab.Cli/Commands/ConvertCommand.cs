using System.CommandLine;
using BitLab.Core;
using Spectre.Console;

namespace BitLab.Cli.Commands;

/// <summary>bitlab convert SOURCE TARGET --to FORMAT</summary>
internal static class ConvertCommand
{
    // The forms that a user names, and what they are.
    private static readonly (string To, string? Type, BitNetFormat Format)[] Forms =
    [
        ("bitlab", null, BitNetFormat.BitLab),
        ("bitlab", "dense", BitNetFormat.BitLabDense),
        ("hf", null, BitNetFormat.HuggingFace),
        ("hf", "bitlinear", BitNetFormat.HuggingFaceBitLinear),
        ("hf", "master", BitNetFormat.HuggingFaceMaster),
        ("gguf", null, BitNetFormat.GgufI2S),
        ("gguf", "i2_s", BitNetFormat.GgufI2S),
        ("gguf", "tq2_0", BitNetFormat.GgufTQ2),
        ("gguf", "tq1_0", BitNetFormat.GgufTQ1),
    ];

    public static Command Create(Terminal terminal)
    {
        Argument<string> source = ModelArgument.Argument("The model: a folder with config.json, or a GGUF file.");
        Argument<string> target = TargetArgument();
        Option<string> to = ToOption(), type = TypeOption();
        var command = new Command("convert", "Writes a model in another form, a tensor at a time.") { source, target, to, type };
        command.SetAction((parsed, cancellation) => Task.Run(
            () => Convert(
                parsed.GetValue(source)!, parsed.GetValue(target)!, FormatOf(parsed.GetValue(to)!, parsed.GetValue(type)), quantizes: false,
                terminal, cancellation),
            cancellation));
        return command;
    }

    public static Argument<string> TargetArgument() => new("target") { Description = "A folder, or for gguf a file. What is there is replaced." };

    public static Option<string> ToOption() => Choice("--to", "bitlab: mapped and multiplied where it lies; hf: Hugging Face; gguf: llama.cpp, bitnet.cpp.", [.. Forms.Select(form => form.To).Distinct()], "bitlab");

    public static Option<string> TypeOption() => Choice(
        "--type", "Of bitlab: dense (1.6 bits). Of hf: bitlinear (inverse scale), master (bfloat16). Of gguf: i2_s, tq2_0, tq1_0.",
        [.. Forms.Select(form => form.Type).OfType<string>()], null);

    /// <summary>The form that the two options name.</summary>
    public static BitNetFormat FormatOf(string to, string? type)
    {
        foreach ((string form, string? of, BitNetFormat format) in Forms)
        {
            if (form == to && of == type)
                return format;
        }
        throw new ArgumentException(
            $"--to {to} has no --type {type}; it has: {string.Join(", ", Forms.Where(form => form.To == to && form.Type is not null).Select(form => form.Type))}.");
    }

    public static void Convert(
        string source, string target, BitNetFormat format, bool quantizes, Terminal terminal, CancellationToken cancellation)
    {
        var options = new BitNetWriteOptions { Quantize = quantizes };
        ProgressLine.Show(terminal.Console, "Converting", progress => BitNetConverter.Convert(
            source, target, format, options with { Progress = (name, done, count) => progress(name, done, count) }, cancellation));
        terminal.Console.WriteLine($"{target}: {SizeText.Bytes(BytesOf(target))}");
    }

    public static long BytesOf(string path) =>
        Directory.Exists(path) ? new DirectoryInfo(path).EnumerateFiles().Sum(file => file.Length) : new FileInfo(path).Length;

    private static Option<string> Choice(string name, string description, string[] words, string? absent)
    {
        var option = new Option<string>(name) { Description = description };
        if (absent is not null)
            option.DefaultValueFactory = _ => absent;
        option.AcceptOnlyFromAmong(words);
        return option;
    }
}
