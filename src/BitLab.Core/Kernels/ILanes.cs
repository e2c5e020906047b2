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

    static abstract TSelf Products(TSelf codes, TSelf activations);

    static abstract TSelf Add(TSelf sums, TSelf products);

    /// <summary>To each 32-bit lane of <paramref name="sums"/>, adds what <see cref="AddProducts"/> has summed in
    /// it.</summary>
    static abstract TSelf AddPartial(TSelf sums, TSelf partial);

    /// <summary>What <see cref="AddProducts"/> has summed, divided by four without a rest, added to another such
    /// value.</summary>
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
