// Trains float and ternary networks on real data and compares them: docs/benchmarks/accuracy.md.
// dotnet run -c Release --project docs/examples/Accuracy
using Accuracy;

try
{
    return AccuracyProgram.Run(AccuracyOptions.Parse(args), Console.Out);
}
catch (ArgumentException e)
{
    Console.Error.WriteLine($"{e.Message}\n{AccuracyOptions.Usage}");
    return 2;
}
catch (FileNotFoundException e)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}
