using BitLab.Core;

namespace BitLab.Inference;

/// <summary>Cosines and sines of the rotary position embedding.</summary>
/// <remarks>Su et al. 2021, arXiv:2104.09864, in the half-split form: angle[i] = position · theta^(-2i / headDim), in float32
/// as Hugging Face's models compute it, so that long texts turn by the same angles.</remarks>
internal sealed unsafe class RotaryTable : IDisposable
{
    private readonly NativeBuffer buffer;
    private readonly int half;

    public RotaryTable(int positions, int headDim, float theta)
    {
        half = headDim / 2;
        Positions = positions;
        buffer = new NativeBuffer((long)positions * headDim * sizeof(float), holdsWeights: false);
        Span<float> frequencies = new float[half];
        for (int i = 0; i < half; i++)
            frequencies[i] = 1f / MathF.Pow(theta, 2f * i / headDim);
        for (int position = 0; position < positions; position++)
        {
            float* cosines = Cosines(position), sines = Sines(position);
            for (int i = 0; i < half; i++)
                (sines[i], cosines[i]) = MathF.SinCos(position * frequencies[i]);
        }
    }

    public int Positions { get; }

    public float* Cosines(int position) => (float*)buffer.Pointer + ((long)position * 2 * half);

    public float* Sines(int position) => Cosines(position) + half;

    public void Dispose() => buffer.Dispose();
}
