using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Analysis.Tests;

public class LatentWeightsTests
{
    public static TheoryData<Granularity, ScalarType, long, long> Cases
    {
        get
        {
            var cases = new TheoryData<Granularity, ScalarType, long, long>();
            foreach (Granularity granularity in new[] { Granularity.PerTensor, Granularity.PerChannel })
            {
                foreach (ScalarType type in new[] { ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16 })
                {
                    foreach ((long n, long k) in new[] { (1L, 1L), (1, 2), (2, 3), (5, 64), (33, 257) })
                        cases.Add(granularity, type, n, k);
                }
            }
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Absmean_makes_the_trits_and_the_scale_of_them(Granularity granularity, ScalarType type, long n, long k)
    {
        using DisposeScope scope = NewDisposeScope();
        for (int seed = 0; seed < 20; seed++)
        {
            random.manual_seed(seed);
            // Trits that have little to do with the wanted weights, from rare to dense.
            Tensor wanted = randn(n, k, ScalarType.Float64), trits = randint(-1, 2, [n, k], ScalarType.Float64) * rand(n, k).lt((seed + 1) / 15.0);
            trits[0, 0] = 1;
            Tensor scales = rand(granularity == Granularity.PerTensor ? 1 : n, 1, dtype: ScalarType.Float64).expand(n, 1) + 0.01;
            scales = scales * (granularity == Granularity.PerTensor ? 1 : trits.abs().amax([1], keepdim: true));
            Tensor latent = LatentWeights.Of(wanted, trits, scales, granularity).to(type);

            // As it is stored, each weight is off by half a unit of its type's last place at most, so their mean is.
            double tolerance = type switch { ScalarType.Float32 => 1.3e-7, ScalarType.Float16 => 1e-3, _ => 8e-3 };
            Tensor stored = latent.to(ScalarType.Float32);
            for (int row = 0; row < (granularity == Granularity.PerTensor ? 1 : n); row++)
            {
                float[] weights = [.. (granularity == Granularity.PerTensor ? stored : stored[row]).contiguous().data<float>()];
                double[] wantedTrits = [.. (granularity == Granularity.PerTensor ? trits : trits[row]).contiguous().data<double>()];
                float scale = Absmean.Scale(weights);
                sbyte[] found = new sbyte[weights.Length];
                Absmean.Quantize(weights, scale, found);
                Assert.Equal(wantedTrits.Select(t => (sbyte)t), found);
                double wantedScale = scales[row, 0].item<double>();
                if (wantedScale > 0)
                    Assert.InRange(scale / wantedScale, 1 - tolerance, 1 + tolerance);
                else
                    Assert.Equal(Absmean.Epsilon, scale);
            }

            using var layer = new BitLinear(k, n, hasBias: false, dtype: type, config: new BitQuantConfig { WeightGranularity = granularity });
            using (no_grad())
                layer.weight!.copy_(latent);
            layer.eval();
            Assert.True(layer.QWeight.to(ScalarType.Float64).Equals(trits));
            layer.Deploy();
            Assert.True(layer.QWeight.to(ScalarType.Float64).Equals(trits));
        }
    }

    [Fact]
    public void What_is_near_the_threshold_stays_nearest_to_it()
    {
        using DisposeScope scope = NewDisposeScope();
        random.manual_seed(1);
        Tensor wanted = randn(1, 200, ScalarType.Float64), trits = wanted.sign() * wanted.abs().gt(0.6);
        Tensor latent = LatentWeights.Of(wanted, trits, full([1, 1], 1.2, ScalarType.Float64), Granularity.PerTensor);
        Tensor order = wanted.abs().flatten().argsort();
        Tensor sorted = latent.abs().flatten().index_select(0, order);
        Assert.True(sorted.diff().ge(0).all().item<bool>());
        Assert.True(latent.sign().eq(wanted.sign()).all().item<bool>());
    }
}
