using Accuracy.Data;
using Accuracy.Networks;
using Accuracy.Results;
using Accuracy.Tasks;

namespace BitLab.Docs.Tests.Accuracy;

public class StatisticsTests
{
    [Fact]
    public void Mean_and_deviation_are_those_by_hand()
    {
        var sample = new Sample([2, 4, 4, 4, 5, 5, 7, 9]);
        Assert.Equal(5, sample.Mean);
        // The squares of the distances add up to 32.
        Assert.Equal(Math.Sqrt(32.0 / 7), sample.StandardDeviation, 1e-15);
        Assert.Equal("5.0 ± 2.1", sample.Text("0.0"));
        Assert.Equal("+5.0 ± 2.1", sample.Text("+0.0;-0.0"));
        Assert.Equal("-5.0 ± 2.1", (sample * -1).Text("+0.0;-0.0"));
        Assert.Equal("7.0", new Sample([7]).Text("0.0"));
    }

    [Fact]
    public void Differences_are_taken_in_pairs()
    {
        Sample difference = new Sample([10, 20]) - new Sample([9, 19]);
        Assert.Equal((1.0, 0.0), (difference.Mean, difference.StandardDeviation));
        Assert.Throws<ArgumentException>(() => new Sample([1]) - new Sample([1, 2]));
    }

    [Fact]
    public void The_table_compares_with_the_better_float_network_over_complete_seeds()
    {
        AccuracyTask task = AllTasks.Quick;
        Result[] results =
        [
            Of(ModelKind.Float, 0, 0.90), Of(ModelKind.FloatNormalized, 0, 0.94), Of(ModelKind.Ternary, 0, 0.93), Of(ModelKind.Distilled, 0, 0.95),
            Of(ModelKind.Float, 1, 0.92), Of(ModelKind.FloatNormalized, 1, 0.96), Of(ModelKind.Ternary, 1, 0.93), Of(ModelKind.Distilled, 1, 0.95),
            // The rate that was best on the validation part is reported, nothing else.
            .. from model in Enum.GetValues<ModelKind>()
               from seed in new[] { 0, 1 }
               from rate in new[] { 0.001, 0.002 }
               select new Result(new Cell(task.Name, model, seed, Purpose.Search, rate, task.SearchSteps), rate == 0.001 ? 0.8 : 0.7, 15),
            new(new Cell(task.Name, ModelKind.Ternary, 0, Purpose.Final, 0.002, task.Steps), 0.1, 60),
            new(new Cell(task.Name, ModelKind.Ternary, 0, Purpose.Final, 0.001, task.Steps + 1), 0.1, 60),
        ];
        string text = AccuracyTables.Text([new TaskResults(task, results)], new Dictionary<string, string> { [task.Name] = "A baseline." });
        Assert.Contains("| 2 | 91.00 ± 1.41 | 95.00 ± 1.41 | 93.00 ± 0.00 | 95.00 ± 0.00 |", text);
        Assert.Contains("| normalized | +2.00 ± 1.41 | +0.00 ± 1.41 | – | – |", text);
        Assert.Contains("| 0.001 | 0.001 | 0.001 | 0.001 | 8 |", text);
        Assert.Contains("A baseline.", text);

        string withoutLast = AccuracyTables.Text([new TaskResults(task, results.Where(result => result.Cell.Seed == 0 || result.Cell.Model != ModelKind.Distilled))], new Dictionary<string, string>());
        Assert.Contains("| 1 | 90.00 | 94.00 | 93.00 | 95.00 |", withoutLast);

        Result Of(ModelKind model, int seed, double score) =>
            new(new Cell(task.Name, model, seed, Purpose.Final, 0.001, task.Steps), score, 15);
    }

    [Fact]
    public void The_page_keeps_what_people_wrote()
    {
        string page = $"before {AccuracyPage.Begin} old {AccuracyPage.End} after";
        string written = AccuracyPage.With(page, "new");
        Assert.Equal($"before {AccuracyPage.Begin}\n\nnew\n{AccuracyPage.End} after", written);
        Assert.Throws<InvalidDataException>(() => AccuracyPage.With("nothing", "new"));
    }

    [Fact]
    public void An_n_gram_mixes_the_orders_as_Witten_and_Bell_do()
    {
        // "abab" over 2 characters. Order 0: a and b came 2 times each, 2 distinct: p(b) = (2 + 2 · 1/2) / (4 + 2) = 1/2.
        // Order 1: after a came 2 characters, 1 distinct, all b: p(b|a) = (2 + 1 · 1/2) / (2 + 1) = 5/6.
        var model = new NGram(1, 2, [[0, 1, 0, 1]]);
        Assert.Equal(0.5, model.Probability([1], 0), 1e-15);
        Assert.Equal(5.0 / 6, model.Probability([0, 1], 1), 1e-15);
        Assert.Equal(1.0 / 6, model.Probability([0, 0], 1), 1e-15);
        Assert.Equal(-(Math.Log2(0.5) + Math.Log2(5.0 / 6)) / 2, model.BitsPerCharacter([[0, 1]]), 1e-14);
    }

    [Fact]
    public void The_probabilities_of_an_n_gram_add_up_to_1()
    {
        byte[] text = [.. "it is a truth universally acknowledged".Select(c => (byte)(c % 32))];
        var model = new NGram(5, 32, [text]);
        for (int at = 0; at < text.Length; at++)
        {
            double sum = Enumerable.Range(0, 32).Sum(next => model.Probability([.. text[..at], (byte)next], at));
            Assert.Equal(1, sum, 1e-12);
        }
    }
}
