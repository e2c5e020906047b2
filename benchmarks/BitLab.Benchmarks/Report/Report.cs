using System.Text;

namespace BitLab.Benchmarks;

/// <summary>The tables of a run.</summary>
internal static class Report
{
    /// <summary>Writes them as Markdown.</summary>
    public static string Text(ComparisonRun run)
    {
        int all = run.ThreadCounts[^1];
        var text = new StringBuilder();
        void Heading(string heading) => text.Append($"\n### {heading}\n\n");
        text.Append($"`--{run.Plan.Name}` on {DateTime.UtcNow:yyyy-MM-dd}, {run.Plan.Rounds} rounds, "
            + $"native kernel {KernelName("native")}, managed kernel {KernelName("managed")}.\n\n");
        foreach ((string name, string value) in Machine.Describe(run.ThreadCounts))
            text.Append($"- {name}: {value}\n");
        text.Append($"\n![Speedup over float32 by M, {Plan.PlotShape}, threads: {all}]({ResultsPage.Plot})\n");
        Heading("Asked and measured");
        text.Append(Targets.Table(run));
        Heading("The limits of the machine");
        text.Append(LimitsLibrary.IsAvailable
            ? LimitsTable(run).ToString()
            : "Not measured: there was no C++ compiler to build native/limits.cpp. Fractions of them are left out.\n");
        foreach (int threads in run.ThreadCounts)
        {
            Heading($"In cache, {Case.ThreadsText(threads)}");
            text.Append(PeerTable(run, threads));
        }
        Heading("Managed, reference and native kernels");
        text.Append(KernelTable(run));
        Heading("Cold: M = 1, layers cycled through");
        text.Append(ColdTable(run));
        Heading("Float32 activations against `nn.Linear` float32");
        text.Append(Float32Table(run));
        return text.ToString();
    }

    private static MarkdownTable LimitsTable(ComparisonRun run)
    {
        var table = new MarkdownTable(
            textColumns: 0,
            ["threads", "read, GB/s", .. LimitsLibrary.DotInstructions.Select(each => $"{NameOf(each)}, GOPS")]);
        foreach (int threads in run.ThreadCounts)
        {
            table.Add(
            [
                $"{threads}",
                Format.Giga(run.Limits.Bandwidth(threads)),
                .. LimitsLibrary.DotInstructions.Select(each => Format.Giga(run.Limits.DotPeak(threads, each))),
            ]);
        }
        return table;
    }

    private static MarkdownTable PeerTable(ComparisonRun run, int threads)
    {
        (string Short, string Name)[] peers =
        [
            ("float32", Contestants.Float32), ("bfloat16", Contestants.Bfloat16), ("`_int_mm`", Contestants.IntMm),
            ("ONNX 2 bits", Contestants.Onnx2), ("4 bits", Contestants.Onnx4), ("8 bits", Contestants.Onnx8),
        ];
        string best = Contestants.Best;
        var table = new MarkdownTable(
            textColumns: 1,
            [
                "K × N", "M", $"{best}, µs", .. peers.Select(peer => $"× {peer.Short}"), "of dot peak", "of read bandwidth",
                .. threads == 1 ? Array.Empty<string>() : ["× 1 thread"],
            ]);
        foreach (Case at in run.Hot.Cases.Where(at => at.Threads == threads))
        {
            table.Add(
            [
                $"{at.Shape}",
                $"{at.Tokens}",
                Format.Microseconds(run.Hot.Seconds(best, at)),
                .. peers.Select(peer => Format.Ratio(run.Hot.Speedup(best, peer.Name, at))),
                Format.Percent(run.Hot.OperationRate(best, at) / run.Limits.DotPeak(threads)),
                at.Tokens > 8 ? "" : Format.Percent(run.Hot.ReadRate(best, at) / run.Limits.Bandwidth(threads)),
                .. threads == 1
                    ? Array.Empty<string>()
                    : [Format.Ratio(run.Hot.Seconds(best, at with { Threads = 1 }) / run.Hot.Seconds(best, at))],
            ]);
        }
        return table;
    }

    private static MarkdownTable KernelTable(ComparisonRun run)
    {
        var table = new MarkdownTable(
            textColumns: 1,
            "K × N", "M", "threads", "native, µs", "managed, µs", "reference, µs", "managed over native",
            "managed × float32", "managed, of dot peak");
        foreach (Case at in run.Hot.Cases)
        {
            table.Add(
                $"{at.Shape}",
                $"{at.Tokens}",
                $"{at.Threads}",
                Format.Microseconds(run.Hot.Seconds(Contestants.Native, at)),
                Format.Microseconds(run.Hot.Seconds(Contestants.Managed, at)),
                Format.Microseconds(run.Hot.Seconds(Contestants.Reference, at)),
                Format.Ratio(run.Hot.Speedup(Contestants.Managed, Contestants.Native, at)),
                Format.Ratio(run.Hot.Speedup(Contestants.Managed, Contestants.Float32, at)),
                Format.Percent(run.Hot.OperationRate(Contestants.Managed, at) / run.Limits.DotPeak(at.Threads)));
        }
        return table;
    }

    private static MarkdownTable ColdTable(ComparisonRun run)
    {
        var table = new MarkdownTable(
            textColumns: 3,
            "K × N", "threads", "contestant", "µs", "GB/s of weights", "of read bandwidth", "times as fast as float32");
        foreach (Case at in run.Cold.Cases)
        {
            foreach (string name in Contestants.ColdNames)
            {
                double? rate = run.Cold.ReadRate(name, at);
                table.Add(
                    $"{at.Shape}",
                    $"{at.Threads}",
                    name,
                    Format.Microseconds(run.Cold.Seconds(name, at)),
                    Format.Giga(rate),
                    Format.Percent(rate / run.Limits.Bandwidth(at.Threads)),
                    Format.Ratio(run.Cold.Speedup(name, Contestants.Float32, at)));
            }
        }
        return table;
    }

    private static MarkdownTable Float32Table(ComparisonRun run)
    {
        var table = new MarkdownTable(
            textColumns: 1,
            "K × N", "M", "threads", "float32, µs", "native, µs", "managed, µs", "native × float32", "managed × float32");
        foreach (Case at in run.Hot.Cases)
        {
            table.Add(
                $"{at.Shape}",
                $"{at.Tokens}",
                $"{at.Threads}",
                Format.Microseconds(run.Hot.Seconds(Contestants.Float32, at)),
                Format.Microseconds(run.Hot.Seconds(Contestants.NativeFloat32, at)),
                Format.Microseconds(run.Hot.Seconds(Contestants.ManagedFloat32, at)),
                Format.Ratio(run.Hot.Speedup(Contestants.NativeFloat32, Contestants.Float32, at)),
                Format.Ratio(run.Hot.Speedup(Contestants.ManagedFloat32, Contestants.Float32, at)));
        }
        return table;
    }

    private static string NameOf(DotInstruction instruction) => instruction switch
    {
        DotInstruction.Vpdpbusd512 => "vpdpbusd, 512 bits",
        DotInstruction.Vpmaddubsw512 => "vpmaddubsw + vpaddw, 512 bits",
        DotInstruction.Vpmaddubsw256 => "vpmaddubsw + vpaddw, 256 bits",
        _ => "sdot, 128 bits",
    };

    private static string KernelName(string group) =>
        group == "native" && !Core.BitLabRuntime.HasNativeLibrary
            ? "not built"
            : Core.KernelRegistry.GetKernelByName(group, Core.BitQuantConfig.Default).Name;
}
