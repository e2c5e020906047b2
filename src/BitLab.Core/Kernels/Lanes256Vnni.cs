using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace BitLab.Core;

/// <summary>256-bit registers of a processor that has AVX-VNNI: <see cref="Lanes256"/> with an instruction that adds four
/// products to a 32-bit lane.</summary>
/// <param name="lanes">The register.</param>
internal readonly unsafe struct Lanes256Vnni(Lanes256 lanes) : ILanes<Lanes256Vnni>
{
    private readonly Lanes256 lanes = lanes;

    public static bool IsSupported => AvxVnni.IsSupported;

    public static string Name => "managed256vnni";

    public static string Isa => "AVX-VNNI, C#";

    public static int Rows => Lanes256.Rows;

    public static int MaxTokens => Lanes256.MaxTokens;

    public static bool HasDotProduct => true;

    public static Lanes256Vnni Zero => default;

    public static Lanes256Vnni Load(byte* source) => new(Lanes256.Load(source));

    public static void Prefetch(byte* step) => Lanes256.Prefetch(step);

    public static Lanes256Vnni And(Lanes256Vnni left, Lanes256Vnni right) => new(Lanes256.And(left.lanes, right.lanes));

    public static Lanes256Vnni ShiftRight(Lanes256Vnni words, int count) => new(Lanes256.ShiftRight(words.lanes, count));

    public static Lanes256Vnni Broadcast(int value) => new(Lanes256.Broadcast(value));

    public static Lanes256Vnni Broadcast(float value) => new(Lanes256.Broadcast(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256Vnni AddProducts(Lanes256Vnni partial, Lanes256Vnni codes, Lanes256Vnni activations) =>
        new(new Lanes256(AvxVnni.MultiplyWideningAndAdd(
            partial.lanes.Bits.AsInt32(), codes.lanes.Bits.AsByte(), activations.lanes.Bits.AsSByte()).AsUInt32()));

    public static Lanes256Vnni Products(Lanes256Vnni codes, Lanes256Vnni activations) =>
        AddProducts(Zero, codes, activations);

    public static Lanes256Vnni Add(Lanes256Vnni partial, Lanes256Vnni products) =>
        new(new Lanes256(partial.lanes.Bits + products.lanes.Bits));

    public static Lanes256Vnni AddPartial(Lanes256Vnni sums, Lanes256Vnni partial) => Add(sums, partial);

    public static Lanes256Vnni AddQuarter(Lanes256Vnni partial, Lanes256Vnni fourfold) =>
        new(new Lanes256((partial.lanes.Bits.AsInt32() + (fourfold.lanes.Bits.AsInt32() >> 2)).AsUInt32()));

    public static Lanes256Vnni Trits(Lanes256Vnni words) => new(Lanes256.Trits(words.lanes));

    public static Lanes256Vnni AddFloats(Lanes256Vnni sums, Lanes256Vnni trits, Lanes256Vnni activation) =>
        new(Lanes256.AddFloats(sums.lanes, trits.lanes, activation.lanes));

    public static Lanes256Vnni ScaleInts(
        Lanes256Vnni sums, int tokenSum, Lanes256Vnni weightScales, float tokenScale, Lanes256Vnni bias) =>
        new(Lanes256.ScaleInts(sums.lanes, tokenSum, weightScales.lanes, tokenScale, bias.lanes));

    public static Lanes256Vnni ScaleFloats(Lanes256Vnni sums, Lanes256Vnni weightScales, Lanes256Vnni bias) =>
        new(Lanes256.ScaleFloats(sums.lanes, weightScales.lanes, bias.lanes));

    public static void Store(Lanes256Vnni value, float* target) => Lanes256.Store(value.lanes, target);
}
