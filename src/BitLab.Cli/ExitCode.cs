namespace BitLab.Cli;

/// <summary>What the process returns.</summary>
internal static class ExitCode
{
    public const int Ok = 0;

    /// <summary>A file is missing, damaged, or not what the command can work with.</summary>
    public const int BadInput = 1;

    /// <summary>The command line cannot be understood, or asks for what cannot be.</summary>
    public const int Usage = 2;

    /// <summary>The user pressed Ctrl+C, as shells have it: 128 + SIGINT.</summary>
    public const int Cancelled = 130;
}
