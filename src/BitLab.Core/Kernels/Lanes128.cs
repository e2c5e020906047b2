using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace BitLab.Core;

/// <summary>128-bit registers of any machine: SSE, NEON with or without its dot product, or .NET's own emulation.</summary>
/// <param name="bits">The register.</param>
internal readonly unsafe struct Lanes128(Vector128<uint> bits) : ILanes<Lanes128>
{
    private const int PrefetchBytes = 4096;

    private readonly Vector128<uint> bits = bits;

    public static bool IsSupported => true;

    public static string Name => "managed128";

    public static string Isa => Vector128.IsHardwareAccelerated ? "128-bit SIMD, C#" : "scalar C#";

    public static int Rows => Vector128<uint>.Count;

    public static int MaxTokens => AdvSimd.IsSupported ? 8 : 4;

    public static bool HasDotProduct => Dp.IsSupported;

    public static Lanes128 Zero => default;

    public static Lanes128 Load(byte* source) => new(Vector128.Load((uint*)source));

    public static void Prefetch(byte* step)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(step + PrefetchBytes);
            Sse.Prefetch0(step + PrefetchBytes + (PanelLayout.StepBytes / 2));
        }
    }

    public static Lanes128 And(Lanes128 left, Lanes128 right) => new(left.bits & right.bits);

    public static Lanes128 ShiftRight(Lanes128 words, int count) => new(words.bits >>> count);

    public static Lanes128 Broadcast(int value) => new(Vector128.Create((uint)value));

    public static Lanes128 Broadcast(float value) => new(Vector128.Create(value).AsUInt32());

    // Codes are small: as signed bytes they are what they are as unsigned ones.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 AddProducts(Lanes128 partial, Lanes128 codes, Lanes128 activations) => Dp.IsSupported
        ? new(Dp.DotProduct(partial.bits.AsInt32(), codes.bits.AsSByte(), activations.bits.AsSByte()).AsUInt32())
        : Add(partial, Products(codes, activations));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Products(Lanes128 codes, Lanes128 activations)
    {
        if (Dp.IsSupported)
            return AddProducts(Zero, codes, activations);
        if (Ssse3.IsSupported)
            return new(Ssse3.MultiplyAddAdjacent(codes.bits.AsByte(), activations.bits.AsSByte()).AsUInt32());
        if (AdvSimd.Arm64.IsSupported)
        {
            Vector128<sbyte> left = codes.bits.AsSByte(), right = activations.bits.AsSByte();
            return new(AdvSimd.Arm64.AddPairwise(
                AdvSimd.MultiplyWideningLower(left.GetLower(), right.GetLower()),
                AdvSimd.MultiplyWideningUpper(left, right)).AsUInt32());
        }
        // The even and the odd bytes: the codes are unsigned, the activations are signed.
        Vector128<short> evenCodes = (codes.bits & Vector128.Create(0x00FF00FFu)).AsInt16();
        Vector128<short> oddCodes = (codes.bits.AsUInt16() >>> 8).AsInt16();
        Vector128<short> evenActivations = (activations.bits.AsInt16() << 8) >> 8;
        Vector128<short> oddActivations = activations.bits.AsInt16() >> 8;
        return new(((evenCodes * evenActivations) + (oddCodes * oddActivations)).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Add(Lanes128 partial, Lanes128 products) => Dp.IsSupported
        ? new(partial.bits + products.bits)
        : new((partial.bits.AsInt16() + products.bits.AsInt16()).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 AddPartial(Lanes128 sums, Lanes128 partial)
    {
        Vector128<int> pairs;
        if (Dp.IsSupported)
            pairs = partial.bits.AsInt32();
        else if (Sse2.IsSupported)
            pairs = Sse2.MultiplyAddAdjacent(partial.bits.AsInt16(), Vector128<short>.One);
        else
            pairs = ((partial.bits.AsInt32() << 16) >> 16) + (partial.bits.AsInt32() >> 16);
        return new((sums.bits.AsInt32() + pairs).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 AddQuarter(Lanes128 partial, Lanes128 fourfold) => Dp.IsSupported
        ? new((partial.bits.AsInt32() + (fourfold.bits.AsInt32() >> 2)).AsUInt32())
        : new((partial.bits.AsInt16() + (fourfold.bits.AsInt16() >> 2)).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Trits(Lanes128 words)
    {
        // Bits 0 and 1 of each lane choose.
        if (Avx.IsSupported)
            return new(Avx.PermuteVar(Vector128.Create(-1f, 0f, 1f, 0f), words.bits.AsInt32()).AsUInt32());
        Vector128<int> codes = (words.bits & Vector128.Create(3u)).AsInt32();
        return new(Vector128.ConvertToSingle(codes - Vector128<int>.One).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 AddFloats(Lanes128 sums, Lanes128 trits, Lanes128 activation) => new(Vector128.MultiplyAddEstimate(
        trits.bits.AsSingle(), activation.bits.AsSingle(), sums.bits.AsSingle()).AsUInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 ScaleInts(Lanes128 sums, int tokenSum, Lanes128 weightScales, float tokenScale, Lanes128 bias)
    {
        Vector128<float> sum = Vector128.ConvertToSingle(sums.bits.AsInt32() - Vector128.Create(tokenSum));
        return ScaleFloats(new(sum.AsUInt32()), new((weightScales.bits.AsSingle() * tokenScale).AsUInt32()), bias);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 ScaleFloats(Lanes128 sums, Lanes128 weightScales, Lanes128 bias)
    {
        // Two roundings, as the contract says: not fused.
        Vector128<float> scaled = sums.bits.AsSingle() * weightScales.bits.AsSingle();
        return new((scaled + bias.bits.AsSingle()).AsUInt32());
    }

    public static void Store(Lanes128 value, float* target) => value.bits.AsSingle().Store(target);
}
