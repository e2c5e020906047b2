using System.CommandLine;
using System.Globalization;
using BitLab.Core;
using Spectre.Console;

namespace BitLab.Cli.Commands;

/// <summary>bitlab info FILE|DIR</summary>
internal static class InfoCommand
{
    public static Command Create(Terminal terminal)
    {
        Argument<string> source = ModelArgument.Argument("A model's folder, a GGUF file or a safetensors file.");
        Option<bool> all = new("--metadata") { Description = "Show all metadata of a GGUF file, long arrays too." };
        var command = new Command("info", "Shows what is in a file or a folder: config, tensors, types, bytes.") { source, all };
        command.SetAction(parsed => Show(parsed.GetValue(source)!, parsed.GetValue(all), terminal.Console));
        return command;
    }

    private static void Show(string source, bool showsAll, IAnsiConsole console)
    {
        if (File.Exists(source) && Path.GetExtension(source) == ".safetensors")
            ShowSafetensors([source], console);
        else if (Directory.Exists(source) && !IsBitNet(source))
            ShowSafetensors(FilesOf(source), console);
        else
            ShowModel(source, showsAll, console);
    }

    private static bool IsBitNet(string folder)
    {
        string config = Path.Combine(folder, "config.json");
        if (!File.Exists(config))
            return false;
        string? type = ConfigFile.ModelType(config);
        return type is BitNetConfig.BitNetType or BitNetConfig.LlamaType;
    }

    private static string[] FilesOf(string folder)
    {
        string[] files = [.. Directory.EnumerateFiles(folder, "*.safetensors").Order(StringComparer.Ordinal)];
        return files.Length > 0 ? files : throw new FileNotFoundException($"'{folder}' holds no safetensors file.");
    }

    private static void ShowSafetensors(IEnumerable<string> paths, IAnsiConsole console)
    {
        Table table = NewTable();
        long bytes = 0;
        foreach (string path in paths)
        {
            using SafetensorsFile file = SafetensorsFile.Open(path);
            foreach (SafetensorsEntry entry in file.Entries.Values.OrderBy(entry => entry.Offset))
            {
                AddRow(table, entry.Name, entry.Dtype.ToString(), entry.Shape, entry.ByteCount);
                bytes += entry.ByteCount;
            }
        }
        Finish(table, bytes, console);
    }

    private static void ShowModel(string source, bool showsAll, IAnsiConsole console)
    {
        using BitNetCheckpoint checkpoint = BitNetCheckpoint.Open(source);
        ShowConfig(checkpoint.Config, console);
        if (checkpoint.Gguf is GgufFile file)
            ShowMetadata(file, showsAll, console);
        Table table = NewTable();
        long bytes = 0;
        foreach (string name in checkpoint.TensorNames)
        {
            CheckpointTensor tensor = checkpoint.Tensor(name);
            AddRow(table, tensor.StoredName, tensor.StoredType, tensor.StoredShape, tensor.ByteCount);
            bytes += tensor.ByteCount;
        }
        Finish(table, bytes, console);
        checkpoint.Check();
    }

    private static void ShowConfig(BitNetConfig config, IAnsiConsole console)
    {
        var table = new Table().Border(TableBorder.Simple).HideHeaders().AddColumns("", "");
        void Add(string name, object value) => table.AddRow(Markup.Escape(name), Markup.Escape(string.Create(CultureInfo.InvariantCulture, $"{value}")));
        Add("model type", config.ModelType);
        Add("layers", config.NumHiddenLayers);
        Add("hidden, intermediate", $"{config.HiddenSize}, {config.IntermediateSize}");
        Add("heads, of keys and values, each", $"{config.NumAttentionHeads}, {config.NumKeyValueHeads}, {config.HeadDim}");
        Add("vocabulary", config.VocabSize);
        Add("positions", config.MaxPositionEmbeddings);
        Add("activation, sub-norms", $"{config.HiddenAct}, {(config.HasSubNorms ? "yes" : "no")}");
        Add("head", config.TieWordEmbeddings ? "the embedding" : "its own");
        console.Write(table);
    }

    private static void ShowMetadata(GgufFile file, bool showsAll, IAnsiConsole console)
    {
        const int Shown = 60;
        Table table = new Table().Border(TableBorder.Simple).AddColumns("key", "type", "value");
        foreach ((string key, GgufValue value) in file.Metadata)
        {
            string text = value.Type == GgufValueType.Array && !showsAll ? $"{value.Count} values" : value.ToString();
            if (!showsAll && text.Length > Shown)
                text = text[..Shown] + "...";
            table.AddRow(Markup.Escape(key), value.Type.ToString(), Markup.Escape(text));
        }
        console.Write(table);
    }

    private static Table NewTable() => new Table().Border(TableBorder.Simple)
        .AddColumn("tensor").AddColumn("type").AddColumn(new TableColumn("shape").RightAligned()).AddColumn(new TableColumn("bytes").RightAligned());

    private static void AddRow(Table table, string name, string type, IEnumerable<long> shape, long bytes) => table.AddRow(
        Markup.Escape(name), Markup.Escape(type), SizeText.Shape(shape), bytes.ToString("N0", CultureInfo.InvariantCulture));

    private static void Finish(Table table, long bytes, IAnsiConsole console)
    {
        console.Write(table);
        console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{table.Rows.Count} tensors, {bytes:N0} bytes ({SizeText.Bytes(bytes)})"));
    }
}
