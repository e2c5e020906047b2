using System.Reflection;
using System.Text.RegularExpressions;
using BitLab.Tests;

namespace BitLab.Docs.Tests;

/// <summary>Every C# block in the README and the docs is compiled and run, every link followed.</summary>
[Collection(nameof(ConsoleCollection))]
public partial class PagesTests
{
    public static TheoryData<string> Pages
    {
        get
        {
            IEnumerable<string> files =
            [
                .. Directory.GetFiles(Repository.Root, "*.md"),
                .. Directory.GetFiles(Path.Combine(Repository.Root, "docs"), "*.md", SearchOption.AllDirectories)
                    .Where(path => !path.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}")),
            ];
            return [.. files.Select(path => Path.GetRelativePath(Repository.Root, path)).Order(StringComparer.Ordinal)];
        }
    }

    [Theory, MemberData(nameof(Pages))]
    public void The_code_of_a_page_runs_from_top_to_bottom(string page)
    {
        IReadOnlyList<string> blocks = PageProgram.BlocksOf(File.ReadAllText(Path.Combine(Repository.Root, page)));
        if (blocks.Count == 0)
            return;
        (MethodInfo? main, string errors) = PageProgram.Compile(blocks, "page_" + page.Replace('/', '_').Replace('.', '_'));
        Assert.True(main is not null, errors);
        string folder = Directory.CreateTempSubdirectory("bitlab-page-").FullName, before = Environment.CurrentDirectory;
        int threads = TorchSharp.torch.get_num_threads();
        Environment.CurrentDirectory = folder;
        // What pages that train on the digits ask their reader to have at hand.
        File.Copy(Path.Combine(Repository.Root, "docs", "examples", "data", "digits.csv.gz"), "digits.csv.gz");
        try
        {
            object?[] arguments = main.GetParameters().Length == 0 ? [] : [Array.Empty<string>()];
            object? result = null;
            ConsoleOutput.Of(() => result = main.Invoke(null, arguments));
            Assert.Equal(0, result as int? ?? 0);
        }
        finally
        {
            TorchSharp.torch.set_num_threads(threads);
            Environment.CurrentDirectory = before;
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory, MemberData(nameof(Pages))]
    public void The_links_of_a_page_lead_somewhere(string page)
    {
        string path = Path.Combine(Repository.Root, page);
        foreach (Match link in RelativeLink().Matches(File.ReadAllText(path)))
        {
            string target = Path.Combine(Path.GetDirectoryName(path)!, link.Groups[1].Value);
            Assert.True(File.Exists(target) || Directory.Exists(target), $"{page} links to {link.Groups[1].Value}");
        }
    }

    [Fact]
    public void Code_that_is_wrong_would_be_noticed()
    {
        Assert.Null(PageProgram.Compile(["int x = \"text\";"], "wrong").Main);
        Assert.Equal(["int a;", "int b;"], PageProgram.BlocksOf("```csharp\nint a;\n```\ntext\n```csharp\nint b;\n```\n```sh\nls\n```"));
    }

    [GeneratedRegex(@"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")]
    private static partial Regex RelativeLink();
}
