using static TorchSharp.torch;

namespace BitLab.Benchmarks.Tests;

/// <summary>That the comparison compares what it says; how fast anything is, is not tested.</summary>
public class ComparisonTests
{
    public static TheoryData<string> Names => new(Contestants.Names);

    [Theory, MemberData(nameof(Names))]
    public void Every_contestant_computes_the_product(string name)
    {
        using IDisposable noGradients = no_grad();
        using Contestant contestant = Contestants.Create(name);
        SelfCheck.Run(contestant, [1, 2]);
    }

    [Fact]
    public void A_contestant_that_computes_something_else_is_refused()
    {
        using var zeros = new Zeros();
        var exception = Assert.Throws<InvalidOperationException>(() => SelfCheck.Run(zeros, [1]));
        Assert.StartsWith("Zeros computes y[0, 0] = 0 of 1 tokens, which should be 256.", exception.Message);
    }

    [Fact]
    public void A_run_fills_the_tables_and_draws_the_plot()
    {
        string plot = Path.GetTempFileName();
        using var run = new ComparisonRun(new Plan("tiny", [new(256, 64)], [1, 8], ColdShapes: [], Rounds: 2, BlockSeconds: 1e-4));
        run.Run();
        string text = Report.Text(run);
        SpeedupPlot.Write(run, plot);

        Assert.Contains($"| 256 × 64 | 8 | ", text);
        Assert.Contains("| every shape: × the best of ONNX Runtime | ≥ 1.9 | ", text);
        Assert.DoesNotContain("NaN", text);
        Assert.DoesNotContain("∞", text);
        Assert.Equal(0x89, File.ReadAllBytes(plot)[0]);
        File.Delete(plot);
    }

    private sealed class Zeros() : Contestant(nameof(Zeros))
    {
        private Shape shape;
        private int tokens;

        public override long WeightBytes => 0;

        public override void Prepare(Shape shape) => this.shape = shape;

        public override void SetTokens(int tokens) => this.tokens = tokens;

        public override void Run(int iterations)
        {
        }

        public override Product Compute()
        {
            float[] x = new float[tokens * shape.K], w = new float[shape.Weights];
            Array.Fill(x, 1);
            Array.Fill(w, 1);
            return new(x, w, new float[tokens * shape.N]);
        }

        public override void Dispose()
        {
        }
    }
}
