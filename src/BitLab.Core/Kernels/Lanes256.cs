using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace BitLab.Core;

/// <summary>256-bit registers of AVX2.</summary>
/// <param name="bits">The register.</param>
internal readonly unsafe struct Lanes256(Vector256<uint> bits) : ILanes<Lanes256>
{
    private const int PrefetchBytes = 4096;

    private readonly Vector256<uint> bits = bits;

    public Vector256<uint> Bits => bits;

    public static bool IsSupported => Avx2.IsSupported;

    public static string Name => "managed256";

    public static string Isa => "AVX2, C#";

    public static int Rows => Vector256<uint>.Count;

    public static int MaxTokens => 4;

    public static bool HasDotProduct => false;

    public static Lanes256 Zero => default;

    public static Lanes256 Load(byte* source) => new(Vector256.Load((uint*)source));

    public static void Prefetch(byte* step)
    {
        Sse.Prefetch0(step + PrefetchBytes);
        Sse.Prefetch0(step + PrefetchBytes + (PanelLayout.StepBytes / 2));
    }

    public static Lanes256 And(Lanes256 left, Lanes256 right) => new(left.bits & right.bits);

    public static Lanes256 ShiftRight(Lanes256 words, int count) => new(words.bits >>> count);

    public static Lanes256 Broadcast(int value) => new(Vector256.Create((uint)value));

    public static Lanes256 Broadcast(float value) => new(Vector256.Create(value).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 AddProducts(Lanes256 partial, Lanes256 codes, Lanes256 activations) =>
        Add(partial, Products(codes, activations));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Products(Lanes256 codes, Lanes256 activations) =>
        new(Avx2.MultiplyAddAdjacent(codes.bits.AsByte(), activations.bits.AsSByte()).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Add(Lanes256 partial, Lanes256 products) =>
        new((partial.bits.AsInt16() + products.bits.AsInt16()).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 AddPartial(Lanes256 sums, Lanes256 partial) =>
        new((sums.bits.AsInt32() + Avx2.MultiplyAddAdjacent(partial.bits.AsInt16(), Vector256<short>.One)).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 AddQuarter(Lanes256 partial, Lanes256 fourfold) =>
        new((partial.bits.AsInt16() + (fourfold.bits.AsInt16() >> 2)).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Trits(Lanes256 words)
    {
        // Bits 0 and 1 of each lane choose.
        Vector256<float> table = Vector256.Create(-1f, 0f, 1f, 0f, -1f, 0f, 1f, 0f);
        return new(Avx.PermuteVar(table, words.bits.AsInt32()).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 AddFloats(Lanes256 sums, Lanes256 trits, Lanes256 activation) =>
        new(Vector256.MultiplyAddEstimate(trits.bits.AsSingle(), activation.bits.AsSingle(), sums.bits.AsSingle()).AsUInt32());

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
