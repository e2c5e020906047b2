namespace BitLab.Core;

/// <summary>The order of a query or key projection's rows. llama.cpp's <c>llama</c> models rotate neighbours, so their files hold the
/// two halves of each head in turn: row 2 · j + s of a head there is row s · (d / 2) + j here.</summary>
/// <param name="headDim">The rows d of a head, or 0 where rows lie as they are.</param>
internal readonly struct RowOrder(int headDim)
{
    /// <summary>Whether rows lie as they are.</summary>
    public bool IsAsItIs => headDim == 0;

    /// <summary>Which row of the file is this row of Hugging Face's.</summary>
    public int InFile(int row)
    {
        if (headDim == 0)
            return row;
        int inHead = row % headDim, half = headDim / 2;
        return row - inHead + (2 * (inHead % half)) + (inHead / half);
    }

    /// <summary>Which row of Hugging Face's is this row of the file.</summary>
    public int FromFile(int row)
    {
        if (headDim == 0)
            return row;
        int inHead = row % headDim;
        return row - inHead + (inHead % 2 * (headDim / 2)) + (inHead / 2);
    }
}
