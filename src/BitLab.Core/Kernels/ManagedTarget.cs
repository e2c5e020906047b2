namespace BitLab.Core;

/// <summary>Where the sums of two registers of rows go, and what is applied to them on the way.</summary>
internal readonly unsafe struct ManagedTarget<T>
    where T : unmanaged, ILanes<T>
{
    private readonly float* output;
    private readonly long outputs;
    private readonly float* tokenScales;
    private readonly int* tokenSums;
    private readonly int rowsLeft;
    private readonly T scales0;
    private readonly T scales1;
    private readonly T bias0;
    private readonly T bias1;

    public ManagedTarget(in TernaryProduct product, int firstOutput)
    {
        output = product.Output + firstOutput;
        outputs = product.Outputs;
        tokenScales = product.TokenScales;
        tokenSums = product.TokenSums;
        rowsLeft = product.Outputs - firstOutput;
        float* scales = product.WeightScales + ((long)firstOutput * product.WeightScaleStride);
        (scales0, scales1) = product.WeightScaleStride == 0 ? (T.Broadcast(*scales), T.Broadcast(*scales)) : Load(scales);
        // Adding -0 changes no float, not even 0 or -0: it stands for "no bias".
        (bias0, bias1) = product.Bias == null ? (T.Broadcast(-0f), T.Broadcast(-0f)) : Load(product.Bias + firstOutput);
    }

    public void StoreInts(int token, T sums0, T sums1) => Store(
        token,
        T.ScaleInts(sums0, tokenSums[token], scales0, tokenScales[token], bias0),
        T.ScaleInts(sums1, tokenSums[token], scales1, tokenScales[token], bias1));

    public void StoreFloats(int token, T sums0, T sums1) =>
        Store(token, T.ScaleFloats(sums0, scales0, bias0), T.ScaleFloats(sums1, scales1, bias1));

    private void Store(int token, T values0, T values1)
    {
        float* row = output + (token * outputs);
        if (rowsLeft >= 2 * T.Rows)
        {
            T.Store(values0, row);
            T.Store(values1, row + T.Rows);
            return;
        }
        float* all = stackalloc float[2 * T.Rows];
        T.Store(values0, all);
        T.Store(values1, all + T.Rows);
        for (int i = 0; i < rowsLeft; i++)
            row[i] = all[i];
    }

    // Rows beyond the last get zeros; what is computed from them is not stored.
    private (T First, T Second) Load(float* source)
    {
        if (rowsLeft >= 2 * T.Rows)
            return (T.Load((byte*)source), T.Load((byte*)(source + T.Rows)));
        float* rows = stackalloc float[2 * T.Rows];
        for (int i = 0; i < 2 * T.Rows; i++)
            rows[i] = i < rowsLeft ? source[i] : 0f;
        return (T.Load((byte*)rows), T.Load((byte*)(rows + T.Rows)));
    }
}
