using System.Buffers.Binary;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>The bytes of LibTorch's generator for the CPU, a Mersenne twister.</summary>
internal static class GeneratorState
{
    // CPUGeneratorImplStateLegacy, of which LibTorch says that it stays as it is: the seed (8 bytes), left (4), seeded (4), next (8), and
    // 624 words of 8 bytes.
    private const int LeftAt = 8, SeededAt = 12, NextAt = 16, Words = 624, WordsAt = 24;

    /// <summary>Whether a generator can take a state. To give it another would end the process: TorchSharp does not catch LibTorch's
    /// exception there, and LibTorch does not see every index that leads out of the words.</summary>
    public static bool IsSound(Tensor state)
    {
        if (state.dtype != ScalarType.Byte || state.ndim != 1 || state.numel() < WordsAt + (Words * sizeof(long)))
            return false;
        ReadOnlySpan<byte> bytes = state.bytes;
        int left = BinaryPrimitives.ReadInt32LittleEndian(bytes[LeftAt..]);
        ulong next = BinaryPrimitives.ReadUInt64LittleEndian(bytes[NextAt..]);
        // Seeded, it is at (1, 0). The first number mixes the words; then one is taken after the other.
        return BinaryPrimitives.ReadInt32LittleEndian(bytes[SeededAt..]) == 1
            && ((left == 1 && next == 0) || (left is >= 1 and <= Words && next == (ulong)(Words + 1 - left)));
    }
}
