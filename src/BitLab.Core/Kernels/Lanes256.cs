using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace BitLab.Core;

/// <summary>256-bit registers of AVX2.</summary>
/// <param name="bits">The register.</param>
internal readonly unsafe struct Lanes256(Vector256<uint> bits) : ILanes<Lanes256>
{
    private readonly Vector256<uint> bits = bits;

    public static bool IsSupported => Avx2.IsSupported;

    public static string Name => "managed256";

    public static string Isa => "AVX2, C#";

    public static int Rows => Vector256<uint>.Count;

    public static Lanes256 Zero => default;

    public static Lanes256 Load(byte* source) => new(Vector256.Load((uint*)source));

    public static Lanes256 Broadcast(int value) => new(Vector256.Create((uint)value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Codes(Lanes256 words, int field) =>
        new((words.bits >>> (2 * field)) & Vector256.Create(0x03030303u));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 AddProducts(Lanes256 sums, Lanes256 codes, Lanes256 activations) =>
        new((sums.bits.AsInt16() + Avx2.MultiplyAddAdjacent(codes.bits.AsByte(), activations.bits.AsSByte())).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 AddPairs(Lanes256 sums, Lanes256 shorts) =>
        new((sums.bits.AsInt32() + Avx2.MultiplyAddAdjacent(shorts.bits.AsInt16(), Vector256<short>.One)).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Trits(Lanes256 words, int shift)
    {
        // The permutation looks at the lowest three bits of each lane; the one above the code is a neighbour's, so the
        // table repeats.
        Vector256<float> table = Vector256.Create(-1f, 0f, 1f, 0f, -1f, 0f, 1f, 0f);
        return new(Avx2.PermuteVar8x32(table, (words.bits >>> shift).AsInt32()).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 AddFloats(Lanes256 sums, Lanes256 trits, float activation) =>
        new((Vector256.MultiplyAddEstimate(trits.bits.AsSingle(), Vector256.Create(activation), sums.bits.AsSingle())).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 ScaleInts(Lanes256 sums, int tokenSum, Lanes256 weightScales, float tokenScale, Lanes256 bias)
    {
        Vector256<float> sum = Vector256.ConvertToSingle(sums.bits.AsInt32() - Vector256.Create(tokenSum));
        return ScaleFloats(new(sum.AsUInt32()), new((weightScales.bits.AsSingle() * tokenScale).AsUInt32()), bias);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 ScaleFloats(Lanes256 sums, Lanes256 weightScales, Lanes256 bias)
    {
        // Two roundings, as the contract says: not fused.
        Vector256<float> scaled = sums.bits.AsSingle() * weightScales.bits.AsSingle();
        return new((scaled + bias.bits.AsSingle()).AsUInt32());
    }

    public static void Store(Lanes256 value, float* target) => value.bits.AsSingle().Store(target);
}
