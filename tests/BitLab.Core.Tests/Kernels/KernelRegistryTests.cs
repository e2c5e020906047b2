namespace BitLab.Core.Tests;

public class KernelRegistryTests
{
    public static TheoryData<BitQuantConfig> EveryConfig => [.. BitQuantConfig.All];

    [Theory, MemberData(nameof(EveryConfig))]
    public void Every_config_finds_each_kind_of_kernel(BitQuantConfig config)
    {
        Assert.StartsWith("managed", KernelRegistry.GetKernelByName("managed", config).Name);
        Assert.Equal("reference", KernelRegistry.GetKernelByName("reference", config).Name);
        if (BitLabRuntime.HasNativeLibrary)
            Assert.True(KernelRegistry.GetKernelByName("native", config).HasNativeBackend);
        else
            Assert.Throws<KernelNotFoundException>(() => KernelRegistry.GetKernelByName("native", config));
    }

    [Theory, MemberData(nameof(EveryConfig))]
    public void The_choice_is_the_first_of_the_list(BitQuantConfig config) => Assert.Equal(
        Environment.GetEnvironmentVariable(KernelRegistry.EnvironmentVariable) is { Length: > 0 } forced
            ? KernelRegistry.GetKernelByName(forced, config).Name
            : KernelRegistry.ListAvailableKernels()[0],
        KernelRegistry.GetKernelForConfig(config).Name);

    [Fact]
    public void The_native_library_is_there_where_CI_has_built_it() => Assert.Equal(
        Environment.GetEnvironmentVariable("BITLAB_TEST_NATIVE") switch
        {
            "yes" => true,
            "no" => false,
            _ => BitLabRuntime.HasNativeLibrary,
        },
        BitLabRuntime.HasNativeLibrary);

    [Fact]
    public void An_unknown_name_is_answered_with_the_known_ones()
    {
        string message = Assert.Throws<KernelNotFoundException>(
            () => KernelRegistry.GetKernelByName("avx3", BitQuantConfig.Default)).Message;
        Assert.Contains("'avx3'", message);
        Assert.All(KernelRegistry.ListAvailableKernels(), name => Assert.Contains(name, message));
        Assert.Throws<KernelNotFoundException>(() => KernelRegistry.Use("avx3"));
    }

    [Fact]
    public async Task A_scope_forces_a_kernel_for_its_own_code_and_tasks_only()
    {
        string outside = KernelRegistry.GetKernelForConfig(BitQuantConfig.Default).Name;
        using (KernelRegistry.Use("reference"))
        {
            Assert.Equal("reference", await Task.Run(() => KernelRegistry.GetKernelForConfig(BitQuantConfig.Default).Name));
            using (KernelRegistry.Use("Managed128"))
                Assert.Equal("managed128", KernelRegistry.GetKernelForConfig(BitQuantConfig.Default).Name);
            Assert.Equal("reference", KernelRegistry.GetKernelForConfig(BitQuantConfig.Default).Name);
        }
        Assert.Equal(outside, KernelRegistry.GetKernelForConfig(BitQuantConfig.Default).Name);
    }

    [Fact]
    public void A_users_kernel_is_found_by_priority_and_match_until_it_is_taken_out()
    {
        var perChannel = new BitQuantConfig { WeightGranularity = Granularity.PerChannel };
        // It matches one rare config only, so that tests beside this one do not meet it.
        var rare = new BitQuantConfig { ActivationDtype = ActivationDtype.Float32, ActivationGranularity = Granularity.PerTensor };
        string before = KernelRegistry.GetKernelForConfig(rare).Name;
        using (KernelRegistry.Register(new UsersKernel(), matches: config => config == rare))
        {
            Assert.Equal("users", KernelRegistry.GetKernelForConfig(rare).Name);
            Assert.NotEqual("users", KernelRegistry.GetKernelForConfig(perChannel).Name);
            Assert.Equal("users", KernelRegistry.GetKernelByName("users", perChannel).Name);
            Assert.Equal("users", KernelRegistry.ListAvailableKernels()[0]);
            using var weights = PackedTernaryWeights.Pack([1f, -1f, 0f], 1, 3, Granularity.PerTensor);
            float[] y = new float[2];
            TernaryLinear.Forward(weights, rare, [5, 2, 9, 1, 1, 1], [], y);
            Assert.Equal([(5f - 2f) * (2f / 3f), 0f], y);
        }
        Assert.Equal(before, KernelRegistry.GetKernelForConfig(rare).Name);
        using (KernelRegistry.Register(new UsersKernel(), priority: -1, matches: config => config == rare))
            Assert.Equal(before, KernelRegistry.GetKernelForConfig(rare).Name);
    }

    [Fact]
    public void Registering_from_many_threads_loses_nothing()
    {
        IDisposable[] registrations = new IDisposable[64];
        Parallel.For(0, registrations.Length, i =>
            registrations[i] = KernelRegistry.Register(new UsersKernel($"thread{i}"), priority: -2, matches: _ => false));
        Assert.Equal(64, KernelRegistry.ListAvailableKernels().Count(name => name.StartsWith("thread", StringComparison.Ordinal)));
        Parallel.ForEach(registrations, registration => registration.Dispose());
        Assert.DoesNotContain(KernelRegistry.ListAvailableKernels(), name => name.StartsWith("thread", StringComparison.Ordinal));
    }

    /// <summary>A kernel as a user writes it: one class, no pointers.</summary>
    private sealed class UsersKernel(string name = "users") : IBitKernel
    {
        public string Name => name;

        public string Isa => "mine";

        public bool HasNativeBackend => false;

        public bool IsSupported => true;

        public bool Serves(BitQuantConfig config) => true;

        public unsafe void Multiply(in TernaryProduct product, int firstPanel, int endPanel)
        {
            for (int i = 0; i < product.Tokens; i++)
            {
                for (int j = firstPanel * 32; j < Math.Min(endPanel * 32, product.Outputs); j++)
                {
                    float sum = 0;
                    for (int k = 0; k < product.PaddedColumns; k++)
                        sum += product.Float32At(i, k) * product.TritAt(j, k);
                    product.Output[((long)i * product.Outputs) + j] = sum * product.WeightScales[j * product.WeightScaleStride];
                }
            }
        }
    }
}
