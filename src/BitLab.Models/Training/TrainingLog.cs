using System.Globalization;
using BitLab.Core;

namespace BitLab.Models;

/// <summary>The CSV file of a training.</summary>
internal sealed class TrainingLog : IDisposable
{
    private const string Header = "step,epoch,loss,learning_rate,lambda,validation_loss,validation_metric";

    private readonly StreamWriter writer;

    /// <summary>Begins a file, or goes on with one: lines of later steps than those that are done go.</summary>
    public TrainingLog(string path, long stepsDone)
    {
        string[] lines = stepsDone > 0 && File.Exists(path) ? File.ReadAllLines(path) : [];
        if (lines.Length > 0 && lines[0] != Header)
            throw new BitLabException($"'{path}' is there and no log of a training: its first line is '{lines[0]}'.");
        AtomicFile.Write(path, stream =>
        {
            using var kept = new StreamWriter(stream, leaveOpen: true);
            kept.WriteLine(Header);
            foreach (string line in lines.Skip(1))
            {
                // A line that was cut short by an interruption has no number, or a wrong one, or too few columns.
                if (line.Count(c => c == ',') == 6 && long.TryParse(line.Split(',')[0], CultureInfo.InvariantCulture, out long step)
                    && step <= stepsDone)
                    kept.WriteLine(line);
            }
        });
        writer = new StreamWriter(path, append: true) { AutoFlush = true };
    }

    public void Write(long step, long epoch, double loss, double learningRate, double lambda, Evaluation? evaluation) =>
        writer.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{step},{epoch},{loss},{learningRate},{lambda},{evaluation?.Loss},{evaluation?.Metric}"));

    public void Dispose() => writer.Dispose();
}
