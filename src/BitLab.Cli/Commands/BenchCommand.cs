using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using BitLab.Core;
using BitLab.Inference;
using Spectre.Console;

namespace BitLab.Cli.Commands;

/// <summary>bitlab bench --model M</summary>
internal static class BenchCommand
{
    public static Command Create(Terminal terminal)
    {
        Option<string> model = ModelArgument.Option();
        Option<int> promptTokens = new("--prompt-tokens") { Description = "Tokens of the prompt.", DefaultValueFactory = _ => 512 };
        Option<int> newTokens = new("--new-tokens") { Description = "Tokens to generate behind it.", DefaultValueFactory = _ => 64 };
        Option<int> repeat = new("--repeat") { Description = "How often; medians are shown.", DefaultValueFactory = _ => 3 };
        var command = new Command("bench", "Measures prefill and decode, and what the memory's bandwidth allows.") { model, promptTokens, newTokens, repeat };
        command.SetAction((parsed, cancellation) => Task.Run(
            () => Measure(
                parsed.GetValue(model)!, AtLeastOne(parsed.GetValue(promptTokens), "--prompt-tokens"),
                AtLeastOne(parsed.GetValue(newTokens), "--new-tokens"), AtLeastOne(parsed.GetValue(repeat), "--repeat"), terminal.Console, cancellation),
            cancellation));
        return command;
    }

    private static void Measure(string path, int promptTokens, int newTokens, int repeat, IAnsiConsole console, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        using BitNetRunner runner = BitNetRunner.Load(path);
        double loading = Seconds(start);
        var prefill = new List<double>();
        var decode = new List<double>();
        var ofBandwidth = new List<double>();
        using BitNetBatch batch = runner.CreateBatch(Math.Max(promptTokens, 1));
        int[] prompt = [.. Enumerable.Range(0, promptTokens).Select(i => (i * 7919) % runner.Config.VocabSize)];
        // On a shared machine the bandwidth changes within seconds: it is measured on both sides of each decode.
        var bandwidth = new List<double> { ReadBandwidth.Measure(BitLabRuntime.NumThreads) };
        long resident = 0;
        for (int i = 0; i < repeat; i++)
        {
            using BitNetSequence sequence = runner.CreateSequence(promptTokens + newTokens);
            start = Stopwatch.GetTimestamp();
            Step(batch, sequence, prompt, cancellation);
            prefill.Add(promptTokens / Seconds(start));
            start = Stopwatch.GetTimestamp();
            for (int token = 0; token < newTokens; token++)
                Step(batch, sequence, [prompt[token % prompt.Length]], cancellation);
            decode.Add(newTokens / Seconds(start));
            resident = Math.Max(resident, Environment.WorkingSet);
            bandwidth.Add(ReadBandwidth.Measure(BitLabRuntime.NumThreads));
            ofBandwidth.Add(decode[^1] * runner.BytesPerStep / ((bandwidth[^2] + bandwidth[^1]) / 2));
        }
        Table table = new Table().Border(TableBorder.Simple).HideHeaders().AddColumn("").AddColumn(new TableColumn("").RightAligned());
        void Add(string name, FormattableString value) => table.AddRow(Markup.Escape(name), Markup.Escape(value.ToString(CultureInfo.InvariantCulture)));
        Add("threads", $"{BitLabRuntime.NumThreads}");
        Add("kernel", $"{KernelRegistry.GetKernelForConfig(BitQuantConfig.Default).Name}");
        Add("loading", $"{loading:F2} s");
        Add($"prefill of {promptTokens} tokens", $"{Median(prefill):F1} tokens/s");
        Add($"decode of {newTokens} tokens", $"{Median(decode):F1} tokens/s");
        Add("weights read for a token", $"{SizeText.Bytes(runner.BytesPerStep)}");
        Add("memory read", $"{Median(bandwidth) / 1e9:F1} GB/s");
        Add("decode, of what the memory allows", $"{Median(ofBandwidth):P0}");
        Add("resident memory", $"{SizeText.Bytes(resident)}");
        console.Write(table);
    }

    private static void Step(BitNetBatch batch, BitNetSequence sequence, ReadOnlySpan<int> tokens, CancellationToken cancellation)
    {
        batch.Clear();
        batch.Add(sequence, tokens);
        batch.Run(cancellation);
    }

    private static int AtLeastOne(int value, string name) => value >= 1 ? value : throw new ArgumentException($"{name} is {value}; it is at least 1.");

    private static double Seconds(long start) => Stopwatch.GetElapsedTime(start).TotalSeconds;

    private static double Median(List<double> values)
    {
        values.Sort();
        return values[values.Count / 2];
    }
}
