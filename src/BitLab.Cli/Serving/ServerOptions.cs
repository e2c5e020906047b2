namespace BitLab.Cli.Serving;

/// <summary>How a server behaves.</summary>
internal sealed record ServerOptions
{
    public string Host { get; init; } = "127.0.0.1";

    /// <summary>0: any that is free.</summary>
    public int Port { get; init; }

    /// <summary>Requests that may wait beside those in work.</summary>
    public int MaxWaiting { get; init; } = 64;

    public long MaxRequestBytes { get; init; } = 1 << 20;

    public string ModelName { get; init; } = "bitnet";
}
