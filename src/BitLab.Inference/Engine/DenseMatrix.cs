using System.Runtime.InteropServices;
using BitLab.Core;

namespace BitLab.Inference;

/// <summary>A float matrix where it lies: mapped from the checkpoint's file, or in memory of its own.</summary>
internal sealed unsafe class DenseMatrix : IDisposable
{
    private readonly SafeHandle owner;

    public DenseMatrix(SafeHandle owner, byte* data, ElementType type, int rows, int columns)
    {
        this.owner = owner;
        Data = data;
        Type = type;
        Rows = rows;
        Columns = columns;
    }

    /// <summary>Whether it lies in a mapped file.</summary>
    public bool IsMapped => owner is MappedBytes;

    public byte* Data { get; }

    public ElementType Type { get; }

    public int Rows { get; }

    public int Columns { get; }

    /// <summary>The bytes that a product by one token reads.</summary>
    public long ByteCount => (long)Rows * Columns * Type.Bytes();

    /// <summary>Maps a tensor of a checkpoint, or decodes it to float32 where the kernels do not read it as it is.</summary>
    public static DenseMatrix Read(BitNetCheckpoint checkpoint, string name, int rows, int columns)
    {
        ElementType? type = checkpoint.Tensor(name).Encoding switch
        {
            TensorEncoding.F32 => ElementType.Float32,
            TensorEncoding.F16 => ElementType.Float16,
            TensorEncoding.BF16 => ElementType.BFloat16,
            _ => null,
        };
        if (type is not null)
        {
            MappedBytes mapped = checkpoint.Map(name);
            if ((nint)mapped.Pointer % type.Value.Bytes() == 0)
                return new DenseMatrix(mapped, mapped.Pointer, type.Value, rows, columns);
            mapped.Dispose();
        }
        return Copy(checkpoint.ReadFloats(name), rows, columns);
    }

    /// <summary>A matrix of float32 in memory of its own.</summary>
    public static DenseMatrix Copy(ReadOnlySpan<float> values, int rows, int columns)
    {
        var buffer = new NativeBuffer((long)values.Length * sizeof(float), holdsWeights: true);
        values.CopyTo(new Span<float>(buffer.Pointer, values.Length));
        return new DenseMatrix(buffer, buffer.Pointer, ElementType.Float32, rows, columns);
    }

    /// <summary>A row as float32.</summary>
    public void CopyRow(int row, float* target)
    {
        byte* source = Data + ((long)row * Columns * Type.Bytes());
        for (int i = 0; i < Columns; i++)
        {
            target[i] = Type switch
            {
                ElementType.Float32 => ((float*)source)[i],
                ElementType.BFloat16 => BitConverter.Int32BitsToSingle(((ushort*)source)[i] << 16),
                _ => (float)((Half*)source)[i],
            };
        }
    }

    public void Dispose() => owner.Dispose();
}
