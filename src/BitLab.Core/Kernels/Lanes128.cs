using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace BitLab.Core;

/// <summary>128-bit registers of any machine: SSE, NEON, or .NET's own emulation.</summary>
/// <param name="bits">The register.</param>
internal readonly unsafe struct Lanes128(Vector128<uint> bits) : ILanes<Lanes128>
{
    private readonly Vector128<uint> bits = bits;

    public static bool IsSupported => true;

    public static string Name => "managed128";

    public static string Isa => Vector128.IsHardwareAccelerated ? "128-bit SIMD, C#" : "scalar C#";

    public static int Rows => Vector128<uint>.Count;

    public static Lanes128 Zero => default;

    public static Lanes128 Load(byte* source) => new(Vector128.Load((uint*)source));

    public static Lanes128 Broadcast(int value) => new(Vector128.Create((uint)value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Codes(Lanes128 words, int field) =>
        new((words.bits >>> (2 * field)) & Vector128.Create(0x03030303u));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 AddProducts(Lanes128 sums, Lanes128 codes, Lanes128 activations)
    {
        if (Ssse3.IsSupported)
        {
            return new((sums.bits.AsInt16()
                + Ssse3.MultiplyAddAdjacent(codes.bits.AsByte(), activations.bits.AsSByte())).AsUInt32());
        }
        // The even and the odd bytes of the codes are small and unsigned, those of the activations are signed.
        Vector128<short> evenCodes = (codes.bits & Vector128.Create(0x00FF00FFu)).AsInt16();
        Vector128<short> oddCodes = (codes.bits.AsUInt16() >>> 8).AsInt16();
        Vector128<short> evenActivations = (activations.bits.AsInt16() << 8) >> 8;
        Vector128<short> oddActivations = activations.bits.AsInt16() >> 8;
        return new((sums.bits.AsInt16() + (evenCodes * evenActivations) + (oddCodes * oddActivations)).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 AddPairs(Lanes128 sums, Lanes128 shorts)
    {
        if (Sse2.IsSupported)
        {
            return new((sums.bits.AsInt32()
                + Sse2.MultiplyAddAdjacent(shorts.bits.AsInt16(), Vector128<short>.One)).AsUInt32());
        }
        Vector128<int> even = (shorts.bits.AsInt32() << 16) >> 16;
        Vector128<int> odd = shorts.bits.AsInt32() >> 16;
        return new((sums.bits.AsInt32() + even + odd).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Trits(Lanes128 words, int shift)
    {
        Vector128<int> codes = ((words.bits >>> shift) & Vector128.Create(3u)).AsInt32();
        return new(Vector128.ConvertToSingle(codes - Vector128<int>.One).AsUInt32());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 AddFloats(Lanes128 sums, Lanes128 trits, float activation) =>
        new((Vector128.MultiplyAddEstimate(trits.bits.AsSingle(), Vector128.Create(activation), sums.bits.AsSingle())).AsUInt32());

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
