using System.Text;

namespace Accuracy.Data;

/// <summary>Jane Austen's six novels as numbered characters: of each novel the first 95 % for training, the next 2.5 % for
/// validation, the last 2.5 % for testing.</summary>
/// <param name="Characters">The vocabulary; a text holds indices into it. What is rarer than 1 in a million is "?".</param>
/// <param name="Train">Texts to train on.</param>
/// <param name="Validation">Texts to choose by.</param>
/// <param name="Test">Texts to report.</param>
internal sealed record Novels(string Characters, byte[][] Train, byte[][] Validation, byte[][] Test)
{
    private const char Rare = '?';
    private static readonly string[] Names =
        ["sensesensibility", "prideprejudice", "mansfieldpark", "emma", "northangerabbey", "persuasion"];


    public static Novels Load(DataFolder folder)
    {
        const string Package = "r-cran-janeaustenr", Folder = "usr/lib/R/site-library/janeaustenr/data";
        string path = Path.GetDirectoryName(folder.Find(Package, $"{Folder}/Rdata.rdx"))!;
        folder.Find(Package, $"{Folder}/Rdata.rdb");
        return Split([.. Names.Select(name => string.Join('\n', RFiles.ReadLazy(path, name).Strings))]);
    }

    /// <summary>Numbers and splits texts.</summary>
    public static Novels Split(IReadOnlyList<string> texts)
    {
        int total = texts.Sum(text => text.Length);
        var characters = new StringBuilder();
        foreach (IGrouping<char, char> group in texts.SelectMany(text => text).GroupBy(c => c).OrderBy(group => group.Key))
        {
            if (group.Key == Rare || group.Count() * 1_000_000L > total)
                characters.Append(group.Key);
        }
        string vocabulary = characters.ToString();
        if (!vocabulary.Contains(Rare))
            vocabulary += Rare;
        byte[] number = new byte[char.MaxValue + 1];
        Array.Fill(number, (byte)vocabulary.IndexOf(Rare));
        for (int i = 0; i < vocabulary.Length; i++)
            number[vocabulary[i]] = (byte)i;
        return new Novels(vocabulary, Part(0, 0.95), Part(0.95, 0.975), Part(0.975, 1));

        byte[][] Part(double from, double to) =>
            [.. texts.Select(text => text[(int)(from * text.Length)..(int)(to * text.Length)].Select(c => number[c]).ToArray())];
    }
}
