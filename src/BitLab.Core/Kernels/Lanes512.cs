using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace BitLab.Core;

/// <summary>512-bit registers of AVX-512.</summary>
/// <param name="bits">The register.</param>
internal readonly unsafe struct Lanes512(Vector512<uint> bits) : ILanes<Lanes512>
{
    private const int PrefetchBytes = 4096;

    private readonly Vector512<uint> bits = bits;

    public static bool IsSupported => Avx512BW.IsSupported;

    public static string Name => "managed512";

    public static string Isa => "AVX-512BW, C#";

    public static int Rows => Vector512<uint>.Count;

    public static int MaxTokens => 8;

    public static bool HasDotProduct => false;

    public static Lanes512 Zero => default;

    public static Lanes512 Load(byte* source) => new(Vector512.Load((uint*)source));

    public static void Prefetch(byte* step)
    {
        Sse.Prefetch0(step + PrefetchBytes);
        Sse.Prefetch0(step + PrefetchBytes + (PanelLayout.StepBytes / 2));
    }

    public static Lanes512 And(Lanes512 left, Lanes512 right) => new(left.bits & right.bits);

    public static Lanes512 ShiftRight(Lanes512 words, int count) => new(words.bits >>> count);

    public static Lanes512 Broadcast(int value) => new(Vector512.Create((uint)value));

    public static Lanes512 Broadcast(float value) => new(Vector512.Create(value).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 AddProducts(Lanes512 partial, Lanes512 codes, Lanes512 activations) =>
        Add(partial, Products(codes, activations));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Products(Lanes512 codes, Lanes512 activations) =>
        new(Avx512BW.MultiplyAddAdjacent(codes.bits.AsByte(), activations.bits.AsSByte()).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Add(Lanes512 partial, Lanes512 products) =>
        new((partial.bits.AsInt16() + products.bits.AsInt16()).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 AddPartial(Lanes512 sums, Lanes512 partial) =>
        new((sums.bits.AsInt32() + Avx512BW.MultiplyAddAdjacent(partial.bits.AsInt16(), Vector512<short>.One)).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 AddQuarter(Lanes512 partial, Lanes512 fourfold) =>
        new((partial.bits.AsInt16() + (fourfold.bits.AsInt16() >> 2)).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Trits(Lanes512 words)
    {
        // Bits 0 and 1 of each lane choose, within its quarter of the table.
        Vector512<float> table = Vector512.Create(
            -1f, 0f, 1f, 0f, -1f, 0f, 1f, 0f, -1f, 0f, 1f, 0f, -1f, 0f, 1f, 0f);
        return new(Avx512F.PermuteVar4x32(table, words.bits.AsInt32()).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 AddFloats(Lanes512 sums, Lanes512 trits, Lanes512 activation) =>
        new(Vector512.MultiplyAddEstimate(trits.bits.AsSingle(), activation.bits.AsSingle(), sums.bits.AsSingle()).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 ScaleInts(Lanes512 sums, int tokenSum, Lanes512 weightScales, float tokenScale, Lanes512 bias)
    {
        Vector512<float> sum = Vector512.ConvertToSingle(sums.bits.AsInt32() - Vector512.Create(tokenSum));
        return ScaleFloats(new(sum.AsUInt32()), new((weightScales.bits.AsSingle() * tokenScale).AsUInt32()), bias);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 ScaleFloats(Lanes512 sums, Lanes512 weightScales, Lanes512 bias)
    {
        // Two roundings, as the contract says: not fused.
        Vector512<float> scaled = sums.bits.AsSingle() * weightScales.bits.AsSingle();
        return new((scaled + bias.bits.AsSingle()).AsUInt32());
    }

    public static void Store(Lanes512 value, float* target) => value.bits.AsSingle().Store(target);
}
