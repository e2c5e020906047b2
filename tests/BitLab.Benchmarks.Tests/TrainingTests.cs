namespace BitLab.Benchmarks.Tests;

public class TrainingTests
{
    [Fact]
    public void A_run_fills_the_table()
    {
        int before = TorchSharp.torch.get_num_threads();
        var run = new TrainingRun([new(Width: 16, Batch: 4, Asked: 1e9, Rounds: 2, Steps: 2)], [1, 2]);
        run.Run();
        TorchSharp.torch.set_num_threads(before);
        string text = run.Report();
        Assert.Contains("| 3 × 16, batch 4 | 1 | ", text);
        Assert.Contains("| 3 × 16, batch 4 | 2 | ", text);
        Assert.Contains("| yes |", text);
        Assert.DoesNotContain("NaN", text);
    }
}
