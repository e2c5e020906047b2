namespace BitLab.Core;

/// <summary>What <see cref="ManagedKernel{T}"/> needs of a vector register, so that the kernel is written once for all
/// widths. A value is one register, seen as bytes, 16-bit or 32-bit integers or floats as the operation says.</summary>
/// <typeparam name="TSelf">The implementing struct.</typeparam>
internal unsafe interface ILanes<TSelf>
    where TSelf : struct, ILanes<TSelf>
{
    static abstract bool IsSupported { get; }

    static abstract string Name { get; }

    static abstract string Isa { get; }

    /// <summary>Rows of weights that a register covers: its 32-bit lanes.</summary>
    static abstract int Rows { get; }

    static abstract TSelf Zero { get; }

    static abstract TSelf Load(byte* source);

    /// <summary>One 32-bit value in all lanes.</summary>
    static abstract TSelf Broadcast(int value);

    /// <summary>Four codes of each row, one a byte: bits 2 · field and above of every byte.</summary>
    static abstract TSelf Codes(TSelf words, int field);

    /// <summary>To each 16-bit lane of <paramref name="sums"/>, adds the products of its two bytes: unsigned codes by signed
    /// activations.</summary>
    static abstract TSelf AddProducts(TSelf sums, TSelf codes, TSelf activations);

    /// <summary>To each 32-bit lane of <paramref name="sums"/>, adds its two 16-bit lanes.</summary>
    static abstract TSelf AddPairs(TSelf sums, TSelf shorts);

    /// <summary>One weight of each row as a float, -1, 0 or 1: the code at bit <paramref name="shift"/> of its word.</summary>
    static abstract TSelf Trits(TSelf words, int shift);

    /// <summary>sums + trits · activation, in floats. The product is exact, so a fused operation gives the same.</summary>
    static abstract TSelf AddFloats(TSelf sums, TSelf trits, float activation);

    /// <summary>(float)(sums - tokenSum) · (weightScale · tokenScale) + bias, the sums being 32-bit integers.</summary>
    static abstract TSelf ScaleInts(TSelf sums, int tokenSum, TSelf weightScales, float tokenScale, TSelf bias);

    /// <summary>sums · weightScale + bias, in floats.</summary>
    static abstract TSelf ScaleFloats(TSelf sums, TSelf weightScales, TSelf bias);

    static abstract void Store(TSelf value, float* target);
}
