namespace BitLab.Inference;

/// <summary>Random numbers that are the same on every machine for the same seed: SplitMix64.</summary>
/// <remarks>Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators": the state grows by
/// 0x9E3779B97F4A7C15 each time and is mixed by two multiplications and three shifts.</remarks>
/// <param name="seed">Where it begins.</param>
internal struct RandomStream(ulong seed)
{
    private ulong state = seed;

    /// <summary>64 random bits.</summary>
    public ulong NextBits()
    {
        ulong bits = state += 0x9E3779B97F4A7C15;
        bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9;
        bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB;
        return bits ^ (bits >> 31);
    }

    /// <summary>A multiple of 2^-53, at least 0 and below 1: the upper 53 bits of the next 64.</summary>
    public double NextDouble() => (NextBits() >> 11) * (1.0 / (1UL << 53));
}
