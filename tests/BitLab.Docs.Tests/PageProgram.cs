using System.Reflection;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace BitLab.Docs.Tests;

/// <summary>The C# blocks of a Markdown page as one program, in the order in which a reader meets them.</summary>
internal static class PageProgram
{
    private const string ImplicitUsings = """
        global using System;
        global using System.Collections.Generic;
        global using System.IO;
        global using System.Linq;
        global using System.Threading;
        global using System.Threading.Tasks;
        """;

    private static readonly CSharpParseOptions Options = new(LanguageVersion.Latest);

    /// <summary>The text between each ```csharp and the ``` that ends it.</summary>
    public static IReadOnlyList<string> BlocksOf(string markdown)
    {
        var blocks = new List<string>();
        List<string>? block = null;
        foreach (string line in markdown.ReplaceLineEndings("\n").Split('\n'))
        {
            if (block is null && line.Trim() is "```csharp" or "```cs" or "```c#")
            {
                block = [];
            }
            else if (block is not null && line.Trim() == "```")
            {
                blocks.Add(string.Join('\n', block));
                block = null;
            }
            else
            {
                block?.Add(line);
            }
        }
        return blocks;
    }

    /// <summary>Compiles the blocks and gives the entry point, or the compiler's errors.</summary>
    public static (MethodInfo? Main, string Errors) Compile(IReadOnlyList<string> blocks, string name)
    {
        CompilationUnitSyntax[] units = [.. blocks.Select(block => CSharpSyntaxTree.ParseText(block, Options).GetCompilationUnitRoot())];
        string program = string.Concat(
            units.SelectMany(unit => unit.Usings).Select(u => u.ToFullString().Trim() + "\n").Distinct()
                .Concat(units.SelectMany(unit => unit.Members.OfType<GlobalStatementSyntax>()).Select(m => m.ToFullString() + "\n"))
                .Concat(units.SelectMany(unit => unit.Members).Where(m => m is not GlobalStatementSyntax).Select(m => m.ToFullString() + "\n")));
        var compilation = CSharpCompilation.Create(
            name,
            [CSharpSyntaxTree.ParseText(ImplicitUsings, Options), CSharpSyntaxTree.ParseText(program, Options)],
            References(),
            new CSharpCompilationOptions(OutputKind.ConsoleApplication, allowUnsafe: true, nullableContextOptions: NullableContextOptions.Enable));
        using var image = new MemoryStream();
        var result = compilation.Emit(image);
        if (!result.Success)
        {
            return (null, string.Join('\n', result.Diagnostics.Where(d => d.Severity == DiagnosticSeverity.Error)) + "\n" + program);
        }
        return (Assembly.Load(image.ToArray()).EntryPoint, "");
    }

    private static IEnumerable<MetadataReference> References()
    {
        string trusted = (string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!;
        return trusted.Split(Path.PathSeparator).Select(path => MetadataReference.CreateFromFile(path));
    }
}
