namespace Accuracy;

/// <summary>The command line.</summary>
internal sealed record AccuracyOptions
{
    public const string Usage = """
        dotnet run -c Release --project docs/examples/Accuracy -- [options] [task ...]
          task            digits, letter, fashion-mlp, fashion-conv, austen; all if none is named
          --data DIR      where the data of the Debian packages is, if it is not installed
          --results DIR   where results are kept (an interrupted run goes on from there); default: the temporary folder
          --seeds N       at most so many seeds; default: all, 3 or 5
          --threads N     for LibTorch and BitLab; default: 1
          --quick         a short training on the digits, to see that all works; the page stays as it is
          --report        only write the page from the results that are there
        """;

    public string Data { get; private init; } = "/";

    public string Results { get; private init; } = Path.Combine(Path.GetTempPath(), "bitlab-accuracy");

    public int Threads { get; private init; } = 1;

    public int Seeds { get; private init; } = int.MaxValue;

    public bool IsQuick { get; private init; }

    public bool IsReport { get; private init; }

    public IReadOnlyList<string> Tasks { get; private init; } = [];

    /// <summary>Reads the arguments of the program.</summary>
    /// <exception cref="ArgumentException">An option is unknown, or its value is missing or wrong.</exception>
    public static AccuracyOptions Parse(IReadOnlyList<string> arguments)
    {
        var options = new AccuracyOptions();
        for (int i = 0; i < arguments.Count; i++)
        {
            options = arguments[i] switch
            {
                "--data" => options with { Data = Value() },
                "--results" => options with { Results = Value() },
                "--seeds" => options with { Seeds = Number() },
                "--threads" => options with { Threads = Number() },
                "--quick" => options with { IsQuick = true },
                "--report" => options with { IsReport = true },
                ['-', ..] unknown => throw new ArgumentException($"'{unknown}' is no option."),
                string task => options with { Tasks = [.. options.Tasks, task] },
            };

            int Number() => int.TryParse(Value(), out int n) && n > 0
                ? n
                : throw new ArgumentException($"{arguments[i - 1]} needs a number of 1 or more.");
            string Value() => ++i < arguments.Count ? arguments[i] : throw new ArgumentException($"{arguments[i - 1]} needs a value.");
        }
        return options;
    }
}
