namespace BitLab.Core;

/// <summary>The kernels there are, and which one a layer gets: the first in the list that this machine can run and that
/// serves the layer's config.</summary>
/// <remarks>The environment variable <c>BITLAB_KERNEL</c> or <see cref="Use"/> forces one by name. Two words name a group
/// and mean its first: <c>native</c> (C++) and <c>managed</c> (SIMD in C#). All members may be called from any
/// thread.</remarks>
public static class KernelRegistry
{
    /// <summary>The environment variable that forces a kernel for the whole process.</summary>
    public const string EnvironmentVariable = "BITLAB_KERNEL";

    private static readonly Lock Gate = new();
    private static readonly string? Forced = NullIfEmpty(Environment.GetEnvironmentVariable(EnvironmentVariable));
    private static readonly AsyncLocal<string?> ScopeForced = new();

    // Replaced as a whole under the gate, so that readers need none. In the order of measured speed,
    // those of ARM in the order of instructions counted.
    private static volatile Entry[] entries =
    [
        new(new NativeKernel(NativeKernelId.I8mm), 66, null),
        new(new NativeKernel(NativeKernelId.NeonDot), 64, null),
        new(new NativeKernel(NativeKernelId.Avx512Vnni), 60, null),
        new(new NativeKernel(NativeKernelId.AvxVnni), 55, null),
        new(new NativeKernel(NativeKernelId.Avx2), 50, null),
        new(new NativeKernel(NativeKernelId.Neon), 45, null),
        new(new ManagedKernel<Lanes512>(), 40, null),
        new(new ManagedKernel<Lanes256Vnni>(), 35, null),
        new(new ManagedKernel<Lanes256>(), 30, null),
        new(new ManagedKernel<Lanes128>(), 20, null),
        new(new NativeKernel(NativeKernelId.Scalar), 10, null),
        new(new ReferenceKernel(), 0, null),
    ];

    /// <summary>The kernel that layers of a config get.</summary>
    /// <param name="config">The config.</param>
    /// <returns>The forced kernel, or else the first that is supported and serves the config.</returns>
    /// <exception cref="KernelNotFoundException">The forced kernel is unknown, cannot run here or does not serve the
    /// config.</exception>
    public static IBitKernel GetKernelForConfig(BitQuantConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        if (ScopeForced.Value is string scoped)
            return Find(scoped, config, "The kernel asked for");
        if (Forced is not null)
            return Find(Forced, config, EnvironmentVariable);
        foreach (Entry entry in entries)
        {
            if (entry.Runs(config))
                return entry.Kernel;
        }
        throw new KernelNotFoundException($"No kernel serves {config}.");
    }

    /// <summary>A kernel by its name, or the first of a group.</summary>
    /// <param name="name">A name of <see cref="ListAvailableKernels"/>, <c>native</c> or <c>managed</c>; case does not
    /// matter.</param>
    /// <param name="config">What it must serve.</param>
    /// <returns>The kernel.</returns>
    /// <exception cref="KernelNotFoundException">No such kernel can run here and serves the config.</exception>
    public static IBitKernel GetKernelByName(string name, BitQuantConfig config)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(config);
        return Find(name, config, "The kernel asked for");
    }

    /// <summary>The names of the kernels that this machine can run.</summary>
    /// <returns>The names, in the order in which they are preferred.</returns>
    public static IReadOnlyList<string> ListAvailableKernels() =>
        [.. entries.Where(entry => entry.Kernel.IsSupported).Select(entry => entry.Kernel.Name).Distinct()];

    /// <summary>Adds a kernel of one's own.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="priority">Kernels of higher priority come first, of equal priority the later registered. BitLab's own
    /// have 0 to 66, so the default puts a user's kernel before them.</param>
    /// <param name="matches">For which configs it is preferred, beyond what it serves; null: all.</param>
    /// <returns>Dispose it to take the kernel out again.</returns>
    public static IDisposable Register(IBitKernel kernel, int priority = 100, Func<BitQuantConfig, bool>? matches = null)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        var added = new Entry(kernel, priority, matches);
        lock (Gate)
        {
            int at = Array.FindIndex(entries, entry => entry.Priority <= priority);
            List<Entry> list = [.. entries];
            list.Insert(at < 0 ? list.Count : at, added);
            entries = [.. list];
        }
        return new Undo(() =>
        {
            lock (Gate)
            {
                entries = [.. entries.Where(entry => !ReferenceEquals(entry, added))];
            }
        });
    }

    /// <summary>Forces a kernel for the code that runs until the result is disposed, and for the tasks that it
    /// starts.</summary>
    /// <param name="name">As in <see cref="GetKernelByName"/>.</param>
    /// <returns>Dispose it to go back to what was before.</returns>
    /// <exception cref="KernelNotFoundException">No kernel of that name can run here.</exception>
    public static IDisposable Use(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        Find(name, config: null, "The kernel asked for");
        string? before = ScopeForced.Value;
        ScopeForced.Value = name;
        return new Undo(() => ScopeForced.Value = before);
    }

    private static IBitKernel Find(string name, BitQuantConfig? config, string source)
    {
        Entry? otherConfig = null;
        foreach (Entry entry in entries)
        {
            if (!entry.IsCalled(name) || !entry.Kernel.IsSupported)
                continue;
            if (config is null || entry.Kernel.Serves(config))
                return entry.Kernel;
            otherConfig = entry;
        }
        throw new KernelNotFoundException(otherConfig is not null
            ? $"{source} is '{name}', which does not serve {config}."
            : $"{source} is '{name}', but this machine can run only: {string.Join(", ", ListAvailableKernels())}.");
    }

    private static string? NullIfEmpty(string? text) => string.IsNullOrWhiteSpace(text) ? null : text.Trim();

    private sealed record Entry(IBitKernel Kernel, int Priority, Func<BitQuantConfig, bool>? Matches)
    {
        public bool Runs(BitQuantConfig config) =>
            Kernel.IsSupported && Kernel.Serves(config) && (Matches is null || Matches(config));

        public bool IsCalled(string name) =>
            Kernel.Name.Equals(name, StringComparison.OrdinalIgnoreCase)
            || (name.Equals("native", StringComparison.OrdinalIgnoreCase) && Kernel.HasNativeBackend)
            || (name.Equals("managed", StringComparison.OrdinalIgnoreCase)
                && Kernel is ManagedKernel<Lanes512> or ManagedKernel<Lanes256Vnni> or ManagedKernel<Lanes256> or ManagedKernel<Lanes128>);
    }

    private sealed class Undo(Action action) : IDisposable
    {
        private Action? action = action;

        public void Dispose() => Interlocked.Exchange(ref action, null)?.Invoke();
    }
}
