namespace BitLab.Core;

/// <summary>What <see cref="ManagedKernel{T}"/> needs of a vector register, so that the kernel is written once for all
/// widths. A value is one register, seen as bytes, 16-bit or 32-bit integers or floats as the operation says.</summary>
/// <typeparam name="TSelf">The implementing struct.</typeparam>
internal unsafe interface ILanes<TSelf>
    where TSelf : unmanaged, ILanes<TSelf>
{
    static abstract bool IsSupported { get; }

    static abstract string Name { get; }

    static abstract string Isa { get; }

    /// <summary>Rows of weights that a register covers: its 32-bit lanes.</summary>
    static abstract int Rows { get; }

    /// <summary>Tokens that are multiplied at once: two sums for each of them, and some five registers more, are to fit
    /// in the register file.</summary>
    static abstract int MaxTokens { get; }

    static abstract TSelf Zero { get; }

    static abstract TSelf Load(byte* source);

    /// <summary>Asks for the step of a panel that is some way ahead.</summary>
    static abstract void Prefetch(byte* step);

    static abstract TSelf And(TSelf left, TSelf right);

    /// <summary>32-bit lanes, shifted right with zeros. <paramref name="count"/> is a constant.</summary>
    static abstract TSelf ShiftRight(TSelf words, int count);

    /// <summary>One 32-bit value in all lanes.</summary>
    static abstract TSelf Broadcast(int value);

    /// <summary>Whether <see cref="AddProducts"/> is one instruction, which adds four products to a 32-bit lane. Otherwise
    /// it is <see cref="Products"/> and <see cref="Add"/>, and a 16-bit lane takes two products.</summary>
    static abstract bool HasDotProduct { get; }

    /// <summary>Adds the products of the bytes of unsigned codes by those of signed activations to the partial sums of
    /// their lane.</summary>
    static abstract TSelf AddProducts(TSelf partial, TSelf codes, TSelf activations);

    /// <summary>The products of <see cref="AddProducts"/> alone.</summary>
    static abstract TSelf Products(TSelf codes, TSelf activations);

    /// <summary>Adds partial sums, or products.</summary>
    static abstract TSelf Add(TSelf partial, TSelf products);

    /// <summary>To each 32-bit lane of <paramref name="sums"/>, adds the partial sums in
    /// it.</summary>
    static abstract TSelf AddPartial(TSelf sums, TSelf partial);

    /// <summary>partial + fourfold / 4, of partial sums; the division leaves no rest.</summary>
    static abstract TSelf AddQuarter(TSelf partial, TSelf fourfold);

    /// <summary>One weight of each row as a float, -1, 0 or 1: the code in the lowest two bits of its word.</summary>
    static abstract TSelf Trits(TSelf words);

    /// <summary>sums + trits · activation, in floats. The product is exact, so a fused operation gives the same.</summary>
    static abstract TSelf AddFloats(TSelf sums, TSelf trits, TSelf activation);

    /// <summary>One float in all lanes.</summary>
    static abstract TSelf Broadcast(float value);

    /// <summary>(float)(sums - tokenSum) · (weightScale · tokenScale) + bias, the sums being 32-bit integers.</summary>
    static abstract TSelf ScaleInts(TSelf sums, int tokenSum, TSelf weightScales, float tokenScale, TSelf bias);

    /// <summary>sums · weightScale + bias, in floats.</summary>
    static abstract TSelf ScaleFloats(TSelf sums, TSelf weightScales, TSelf bias);

    static abstract void Store(TSelf value, float* target);
}
