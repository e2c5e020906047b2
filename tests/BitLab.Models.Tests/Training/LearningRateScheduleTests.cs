namespace BitLab.Models.Tests;

public class LearningRateScheduleTests
{
    [Fact]
    public void A_cosine_rises_straight_and_falls_by_half_a_wave()
    {
        var schedule = LearningRateSchedule.Cosine(peak: 1, steps: 14, warmupSteps: 4, last: 0.2);
        double[] rates = [.. Enumerable.Range(0, 15).Select(step => schedule.At(step))];
        Assert.Equal([0.25, 0.5, 0.75, 1, 1], rates[..5]);
        Assert.Equal(0.6, rates[9], 1e-12);                        // half way down
        // cos(π / 5) = (1 + √5) / 4.
        Assert.Equal(0.2 + (0.4 * (1 + ((1 + Math.Sqrt(5)) / 4))), rates[6], 1e-12);
        Assert.Equal(0.2, rates[14], 1e-12);
        Assert.Equal(0.2, schedule.At(1000), 1e-12);
    }

    [Fact]
    public void Two_stages_are_those_of_2B4T()
    {
        var schedule = LearningRateSchedule.TwoStage(steps: 1000, warmupSteps: 10);
        Assert.Equal(1.5e-4, schedule.At(0), 1e-12);
        Assert.Equal(1.5e-3, schedule.At(10), 1e-12);
        Assert.Equal(8e-4, schedule.At(499), 2e-6);
        Assert.Equal(5e-4, schedule.At(500), 1e-12);
        Assert.Equal(2.5e-4, schedule.At(750), 1e-12);
        Assert.Equal(0, schedule.At(1000));
    }

    [Fact]
    public void Impossible_numbers_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => LearningRateSchedule.Cosine(0, 10));
        Assert.Throws<ArgumentOutOfRangeException>(() => LearningRateSchedule.Cosine(1, 10, warmupSteps: 11));
        Assert.Throws<ArgumentOutOfRangeException>(() => LearningRateSchedule.TwoStage(10, firstShare: 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => LearningRateSchedule.Constant(1).At(-1));
        Assert.Contains("step 3 is -1", Assert.Throws<InvalidOperationException>(() => LearningRateSchedule.Of(_ => -1).At(3)).Message);
    }
}
