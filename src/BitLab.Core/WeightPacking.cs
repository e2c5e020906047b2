namespace BitLab.Core;

/// <summary>How trits are held. The values name the layouts in files.</summary>
public enum WeightPacking
{
    /// <summary>Four trits a byte, 2 bits a weight: what every kernel multiplies as it lies.</summary>
    TwoBit = 1,

    /// <summary>Five trits a byte, 1.6 bits a weight. One token is multiplied faster than from <see cref="TwoBit"/> where
    /// memory is the limit, that is with weights beyond the last-level cache and all processors at work; slower
    /// elsewhere. Kernels that do not read it get it expanded panel by panel.</summary>
    Dense = 2,
}
