// Classifies lines of numbers with a network that was trained with BitLab.Models, without .NET, TorchSharp or LibTorch on the
// machine:
//   dotnet publish docs/examples/AotClassifier -c Release -p:PublishAot=true -o classifier
//   classifier/AotClassifier FOLDER < features.csv
// Of each line as many numbers are taken as the network has inputs; --divide N divides them first.
using System.Diagnostics;
using System.Globalization;
using BitLab.Inference;

if (args.Length is not (1 or 3) || (args.Length == 3 && args[1] != "--divide"))
{
    Console.Error.WriteLine("usage: AotClassifier FOLDER [--divide N] < features.csv");
    return 2;
}
float divisor = args.Length == 3 ? float.Parse(args[2], CultureInfo.InvariantCulture) : 1;
using BitMlpRunner model = BitMlpRunner.Load(args[0]);
float[] features = new float[model.InChannels];
bool isFirst = true;
while (Console.In.ReadLine() is string line)
{
    string[] numbers = line.Split(',');
    if (numbers.Length < features.Length)
    {
        Console.Error.WriteLine($"Expected {features.Length} numbers a line, got {numbers.Length}.");
        return 1;
    }
    for (int i = 0; i < features.Length; i++)
        features[i] = float.Parse(numbers[i], CultureInfo.InvariantCulture) / divisor;
    Console.Out.WriteLine(model.Classify(features));
    if (isFirst)
    {
        TimeSpan sinceStart = DateTime.Now - Process.GetCurrentProcess().StartTime;
        Console.Error.WriteLine($"first answer {sinceStart.TotalMilliseconds:F0} ms after the start of the process");
        isFirst = false;
    }
}
return 0;
