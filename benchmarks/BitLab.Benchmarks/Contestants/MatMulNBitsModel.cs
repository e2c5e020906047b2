using System.Runtime.InteropServices;

namespace BitLab.Benchmarks;

/// <summary>An ONNX model of one node: ONNX Runtime's <c>MatMulNBits</c>, Y = A · dequantize(B)ᵀ.</summary>
/// <remarks>Each row of B is cut into blocks of <see cref="Block"/> columns with a scale each; a code c, the lowest bits of
/// its byte first, is worth (c - 2^(bits - 1)) · scale. The field numbers are those of onnx.proto.</remarks>
internal static class MatMulNBitsModel
{
    /// <summary>Columns that share a scale.</summary>
    public const int Block = 128;

    public const string Input = "A";
    public const string Output = "Y";

    private const string Codes = "B";
    private const string Scales = "S";
    private const string Tokens = "M";
    private const string Domain = "com.microsoft";

    // 4: the input is quantized to int8 too, the fastest there is.
    private const int AccuracyLevel = 4;

    private const int TypeFloat = 1;
    private const int TypeUInt8 = 2;

    /// <summary>Writes the model.</summary>
    /// <param name="shape">N rows, K columns; K is a multiple of <see cref="Block"/>.</param>
    /// <param name="bits">2, 4 or 8.</param>
    /// <param name="codes">(N, K) codes, packed.</param>
    /// <param name="scales">(N, K / Block).</param>
    public static byte[] Write(Shape shape, int bits, byte[] codes, float[] scales)
    {
        long blocks = shape.K / Block;
        ProtobufWriter node = new ProtobufWriter()
            .Add(1, Input).Add(1, Codes).Add(1, Scales)
            .Add(2, Output)
            .Add(4, "MatMulNBits")
            .Add(5, Attribute("K", shape.K))
            .Add(5, Attribute("N", shape.N))
            .Add(5, Attribute("bits", bits))
            .Add(5, Attribute("block_size", Block))
            .Add(5, Attribute("accuracy_level", AccuracyLevel))
            .Add(7, Domain);
        ProtobufWriter graph = new ProtobufWriter()
            .Add(1, node)
            .Add(2, "graph")
            .Add(5, Initializer(Codes, TypeUInt8, [shape.N, blocks, Block * bits / 8], codes))
            .Add(5, Initializer(Scales, TypeFloat, [shape.N * blocks], MemoryMarshal.AsBytes<float>(scales)))
            .Add(11, FloatMatrix(Input, shape.K))
            .Add(12, FloatMatrix(Output, shape.N));
        return new ProtobufWriter()
            .Add(1, 9) // the version of the format
            .Add(7, graph)
            .Add(8, OperatorSet("", 17))
            .Add(8, OperatorSet(Domain, 1))
            .ToArray();
    }

    private static ProtobufWriter Attribute(string name, long value)
    {
        const int Int = 2;
        return new ProtobufWriter().Add(1, name).Add(3, value).Add(20, Int);
    }

    private static ProtobufWriter Initializer(string name, int type, long[] dimensions, ReadOnlySpan<byte> data)
    {
        var tensor = new ProtobufWriter();
        foreach (long dimension in dimensions)
            tensor.Add(1, dimension);
        return tensor.Add(2, type).Add(8, name).Add(9, data);
    }

    // Tokens by columns, the tokens open.
    private static ProtobufWriter FloatMatrix(string name, long columns)
    {
        ProtobufWriter dimensions = new ProtobufWriter()
            .Add(1, new ProtobufWriter().Add(2, Tokens))
            .Add(1, new ProtobufWriter().Add(1, columns));
        ProtobufWriter tensor = new ProtobufWriter().Add(1, TypeFloat).Add(2, dimensions);
        return new ProtobufWriter().Add(1, name).Add(2, new ProtobufWriter().Add(1, tensor));
    }

    private static ProtobufWriter OperatorSet(string domain, long version) =>
        new ProtobufWriter().Add(1, domain).Add(2, version);
}
