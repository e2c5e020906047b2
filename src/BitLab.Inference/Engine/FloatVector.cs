using BitLab.Core;

namespace BitLab.Inference;

/// <summary>The weights of a norm.</summary>
internal sealed unsafe class FloatVector : IDisposable
{
    private readonly NativeBuffer buffer;

    public FloatVector(ReadOnlySpan<float> values)
    {
        buffer = new NativeBuffer(values.Length * sizeof(float), holdsWeights: true);
        Length = values.Length;
        values.CopyTo(new Span<float>(Data, Length));
    }

    public int Length { get; }

    public float* Data => (float*)buffer.Pointer;

    public void Dispose() => buffer.Dispose();
}
