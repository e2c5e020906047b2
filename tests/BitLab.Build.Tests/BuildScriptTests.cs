using System.Management.Automation;
using System.Management.Automation.Language;
using System.Management.Automation.Runspaces;
using BitLab.Tests;

namespace BitLab.Build.Tests;

/// <summary>build.ps1, copied to an empty folder and run by PowerShell's engine with a stand-in for dotnet.</summary>
public sealed class BuildScriptTests : IDisposable
{
    /// <summary>dotnet writes down how it was called. The other commands are in a module that comes with an installed
    /// PowerShell only, so they are spelled out by what they call there.</summary>
    private const string StandIns = """
        function dotnet {
            $global:calls.Add($args)
            $global:callers.Add($PWD.Path)
            # A process, because PowerShell may turn the exit code of a process into an exception.
            $code = $args[0] -eq $global:failing ? 3 : 0
            if ($IsWindows) { cmd /c "exit $code" } else { sh -c "exit $code" }
        }
        function Push-Location($path) {
            $ExecutionContext.SessionState.Path.PushCurrentLocation('')
            $ExecutionContext.SessionState.Path.SetLocation($path)
        }
        function Pop-Location { $ExecutionContext.SessionState.Path.PopLocation('') }
        function Test-Path($path) { $ExecutionContext.SessionState.InvokeProvider.Item.Exists($path) }
        function Remove-Item($path, [switch] $Recurse, [switch] $Force) {
            $ExecutionContext.SessionState.InvokeProvider.Item.Remove(@($path), $Recurse, $Force, $false)
        }
        """;

    private static readonly string Script = Path.Combine(Repository.Root, "build.ps1");

    // The space in the name shows that the script may lie anywhere.
    private readonly string folder = Directory.CreateTempSubdirectory("BitLab build ").FullName;
    private readonly string elsewhere = Path.GetFullPath(Path.GetTempPath());
    private readonly List<string[]> calls = [];
    private readonly List<string> callers = [];
    private readonly Runspace runspace = RunspaceFactory.CreateRunspace(Language());

    public BuildScriptTests()
    {
        File.Copy(Script, Path.Combine(folder, "build.ps1"));
        runspace.Open();
        // Some profiles set it; a failing dotnet is then an exception, and the script's exit code 1.
        runspace.SessionStateProxy.SetVariable("PSNativeCommandUseErrorActionPreference", true);
        runspace.SessionStateProxy.SetVariable("calls", calls);
        runspace.SessionStateProxy.SetVariable("callers", callers);
        runspace.SessionStateProxy.Path.SetLocation(elsewhere);
        Invoke(StandIns);
    }

    public void Dispose()
    {
        runspace.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void The_script_has_no_syntax_errors()
    {
        Parser.ParseFile(Script, out _, out ParseError[] errors);
        Assert.Empty(errors);
    }

    [Fact]
    public void The_help_explains_every_parameter()
    {
        ScriptBlockAst script = Parser.ParseFile(Script, out _, out _);
        Assert.Equal(
            script.ParamBlock.Parameters.Select(parameter => parameter.Name.VariablePath.UserPath.ToUpperInvariant()),
            script.GetHelpContent().Parameters.Keys);
    }

    [Theory]
    [InlineData("", "build BitLab.sln -c Release", "test BitLab.sln -c Release")]
    [InlineData("build", "build BitLab.sln -c Release")]
    [InlineData("test", "test BitLab.sln -c Release")]
    [InlineData("native", "build src/BitLab.Core -t:CompileNativeLibrary -c Release")]
    [InlineData("pack", "pack BitLab.sln -o artifacts/packages -c Release")]
    [InlineData("clean", "clean BitLab.sln -c Release")]
    [InlineData("build -NoNative", "build BitLab.sln -c Release -p:BuildNative=false")]
    [InlineData("test -NoNative", "test BitLab.sln -c Release -p:BuildNative=false")]
    [InlineData("pack -NoNative", "pack BitLab.sln -o artifacts/packages -c Release -p:BuildNative=false")]
    [InlineData("build -Configuration Debug", "build BitLab.sln -c Debug")]
    public void A_command_is_one_call_of_dotnet_and_the_default_is_two(string arguments, params string[] expected)
    {
        Assert.Equal(0, Run(arguments));
        Assert.Equal(expected.Select(call => call.Split(' ')), calls);
    }

    [Theory]
    [InlineData("test, pack, build")]
    [InlineData("test pack build")]
    public void Several_commands_run_in_the_order_given(string arguments)
    {
        Run(arguments);
        Assert.Equal(["test", "pack", "build"], calls.Select(call => call[0]));
    }

    [Fact]
    public void Dotnet_runs_beside_the_script_and_the_caller_stays_where_it_was()
    {
        Run("build");
        Run("build", failing: "build");
        Assert.Equal([folder, folder], callers);
        Assert.Equal(
            Path.TrimEndingDirectorySeparator(elsewhere),
            Path.TrimEndingDirectorySeparator(runspace.SessionStateProxy.Path.CurrentFileSystemLocation.Path));
    }

    [Fact]
    public void Clean_removes_the_artifacts_and_nothing_else()
    {
        Directory.CreateDirectory(Path.Combine(folder, "artifacts", "packages"));
        File.WriteAllText(Path.Combine(folder, "artifacts", "packages", "BitLab.Core.nupkg"), "");
        Run("build");
        Assert.True(Directory.Exists(Path.Combine(folder, "artifacts")));
        Run("clean");
        Assert.Equal([Path.Combine(folder, "build.ps1")], Directory.GetFileSystemEntries(folder));
    }

    [Fact]
    public void A_failing_dotnet_stops_the_script_with_its_exit_code()
    {
        Assert.Equal(3, Run("build, test, pack", failing: "test"));
        Assert.Equal(["build", "test"], calls.Select(call => call[0]));
    }

    [Fact]
    public void An_unknown_command_is_refused_and_the_known_ones_are_listed()
    {
        string message = Assert.ThrowsAny<ParameterBindingException>(() => Run("build, buidl")).Message;
        Assert.Contains("buidl", message);
        Assert.Contains("build,test,native,pack,clean", message);
        Assert.Empty(calls);
    }

    /// <summary>Runs the script as a line typed at the prompt would, and returns its exit code.</summary>
    private int Run(string arguments, string failing = "")
    {
        runspace.SessionStateProxy.SetVariable("failing", failing);
        Invoke($"& '{Path.Combine(folder, "build.ps1")}' {arguments}");
        return (int)runspace.SessionStateProxy.GetVariable("LASTEXITCODE");
    }

    private void Invoke(string line)
    {
        using var shell = PowerShell.Create(runspace);
        shell.AddScript(line).Invoke();
        if (shell.Streams.Error.Count > 0)   // which a prompt only prints
            throw shell.Streams.Error[0].Exception;
    }

    private static InitialSessionState Language()
    {
        InitialSessionState state = InitialSessionState.CreateDefault2();
        if (OperatingSystem.IsWindows())   // where alone there is a policy, by which scripts may not run
            state.ExecutionPolicy = Microsoft.PowerShell.ExecutionPolicy.Bypass;
        return state;
    }
}
