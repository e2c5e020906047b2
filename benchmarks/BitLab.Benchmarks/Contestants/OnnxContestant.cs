using Microsoft.ML.OnnxRuntime;

namespace BitLab.Benchmarks;

/// <summary>ONNX Runtime's multiplication by weights of few bits, input and output in memory that is given to it.</summary>
/// <param name="name">What tables and plots call it.</param>
/// <param name="bits">2, 4 or 8.</param>
internal sealed class OnnxContestant(string name, int bits) : Contestant(name)
{
    private static readonly string[] InputNames = [MatMulNBitsModel.Input];
    private static readonly string[] OutputNames = [MatMulNBitsModel.Output];

    private readonly RunOptions runOptions = new();
    private readonly OrtValue[] inputs = new OrtValue[1];
    private readonly OrtValue[] outputs = new OrtValue[1];
    private readonly Dictionary<int, InferenceSession> sessions = [];
    private Shape shape;
    private byte[] codes = [];
    private float[] scales = [];
    private float[] x = [];
    private float[] y = [];
    private InferenceSession? session;

    public override long WeightBytes => codes.Length + (scales.Length * (long)sizeof(float));

    public override void Prepare(Shape shape)
    {
        this.shape = shape;
        codes = new byte[shape.Weights * bits / 8];
        Random.Shared.NextBytes(codes);
        scales = RandomFloats(shape.Weights / MatMulNBitsModel.Block, from: 0);
    }

    public override void SetTokens(int tokens)
    {
        FreeTokens();
        x = RandomFloats(tokens * shape.K, from: -1);
        y = new float[tokens * shape.N];
        inputs[0] = OrtValue.CreateTensorValueFromMemory(x, [tokens, shape.K]);
        outputs[0] = OrtValue.CreateTensorValueFromMemory(y, [tokens, shape.N]);
    }

    // The threads of a session are its own: one session for each number of them.
    public override void SetThreads(int threads)
    {
        if (!sessions.TryGetValue(threads, out session))
        {
            using var options = new SessionOptions { IntraOpNumThreads = threads };
            session = new InferenceSession(MatMulNBitsModel.Write(shape, bits, codes, scales), options);
            sessions.Add(threads, session);
        }
    }

    public override void Run(int iterations)
    {
        for (int i = 0; i < iterations; i++)
            session!.Run(runOptions, InputNames, inputs, OutputNames, outputs);
    }

    public override Product Compute()
    {
        Run(1);
        return new(x, Dequantized(), y);
    }

    public override void Dispose()
    {
        FreeTokens();
        foreach (InferenceSession each in sessions.Values)
            each.Dispose();
        sessions.Clear();
        (codes, scales, x, y) = ([], [], [], []);
    }

    private static float[] RandomFloats(long count, float from)
    {
        var values = new float[count];
        foreach (ref float value in values.AsSpan())
            value = from + ((1 - from) * Random.Shared.NextSingle());
        return values;
    }

    private void FreeTokens()
    {
        inputs[0]?.Dispose();
        outputs[0]?.Dispose();
    }

    private float[] Dequantized()
    {
        var weights = new float[shape.Weights];
        int codesPerByte = 8 / bits;
        for (int i = 0; i < weights.Length; i++)
        {
            int code = (codes[i / codesPerByte] >> (bits * (i % codesPerByte))) & ((1 << bits) - 1);
            weights[i] = (code - (1 << (bits - 1))) * scales[i / MatMulNBitsModel.Block];
        }
        return weights;
    }
}
