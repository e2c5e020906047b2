using Accuracy.Data;
using Accuracy.Networks;
using BitLab.Layers;

namespace Accuracy.Tasks;

/// <summary>What is measured.</summary>
internal static class AllTasks
{
    /// <summary>The digits in seconds: to see that all works, not to compare.</summary>
    public static AccuracyTask Quick { get; } = Digits("quick", seeds: 2, epochs: 4, searchEpochs: 1);

    /// <summary>The rows of the table, the quickest first.</summary>
    public static IReadOnlyList<AccuracyTask> In(DataFolder folder) =>
    [
        Digits("digits", seeds: 5, epochs: 30, searchEpochs: 15),
        new Classification
        {
            Name = "letter",
            Title = "Letter, MLP 16-256-256-26",
            Load = () => LabelledData.Letters(folder),
            Network = recipe => Classifiers.Mlp(recipe, 16, 256, 256, 26),
            Seeds = 5,
            BatchSize = 128,
            TestCount = 4000,
            ValidationCount = 2000,
            Steps = 60 * 125,
            SearchSteps = 20 * 125,
            Rates = [1e-3, 2e-3, 4e-3, 8e-3],
            Goal = 0.003,
        },
        new Classification
        {
            Name = "fashion-mlp",
            Title = "Fashion-MNIST, MLP 784-512-512-10",
            Load = () => LabelledData.Fashion(folder, isTrain: true),
            LoadTest = () => LabelledData.Fashion(folder, isTrain: false),
            Network = recipe => Classifiers.Mlp(recipe, 784, 512, 512, 10),
            Seeds = 5,
            BatchSize = 128,
            ValidationCount = 5000,
            Steps = 12 * 468,
            SearchSteps = 4 * 468,
            Rates = [5e-4, 1e-3, 2e-3],
            Goal = 0.003,
        },
        new Classification
        {
            Name = "fashion-conv",
            Title = "Fashion-MNIST, convolutions 32-64-64",
            Load = () => LabelledData.Fashion(folder, isTrain: true),
            LoadTest = () => LabelledData.Fashion(folder, isTrain: false),
            Network = recipe => Classifiers.Conv(recipe, 28, 10, 32, 64, 64),
            Conversion = new ConversionOptions { Convolutions = true, KeepFirst = true },
            Seeds = 5,
            BatchSize = 128,
            ValidationCount = 5000,
            Steps = 5 * 468,
            SearchSteps = 468,
            Rates = [1e-3, 2e-3, 4e-3],
            Goal = 0.007,
        },
        new LanguageModel
        {
            Name = "austen",
            Title = "Jane Austen, transformer 4 × 128",
            Load = () => Novels.Load(folder),
            Width = 128,
            Layers = 4,
            BatchSize = 4,
            Seeds = 3,
            Steps = 2000,
            SearchSteps = 250,
            Rates = [2e-3, 4e-3, 8e-3],
            TernaryRateFactor = 1,
            Goal = 0.03,
        },
    ];

    private static Classification Digits(string name, int seeds, int epochs, int searchEpochs) => new()
    {
        Name = name,
        Title = "Digits 8 × 8, MLP 64-256-256-10",
        Load = LabelledData.Digits,
        Network = recipe => Classifiers.Mlp(recipe, 64, 256, 256, 10),
        Seeds = seeds,
        BatchSize = 32,
        TestCount = 360,
        ValidationCount = 240,
        Steps = epochs * 44,
        SearchSteps = searchEpochs * 44,
        Rates = [5e-4, 1e-3, 2e-3, 4e-3],
    };
}
