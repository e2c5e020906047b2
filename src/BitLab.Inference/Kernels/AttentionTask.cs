namespace BitLab.Inference;

/// <summary>The queries of some successive tokens that look at one head of keys and values.</summary>
/// <remarks>
/// Keys lie in blocks of sixteen positions: for each element of the head in turn, those of the sixteen. So sixteen scores are
/// one register, and none of it is summed across. Values lie position by position, <see cref="ValueStride"/> elements
/// apart. What lies beyond the last position is not looked at.
/// </remarks>
internal unsafe struct AttentionTask
{
    /// <summary>Positions in a block of keys.</summary>
    public const int KeyBlock = 16;

    /// <summary>Query rows that are computed together, the room that <see cref="Scores"/> must have.</summary>
    public const int MaxRows = 8;

    /// <summary>Tokens, at least 1.</summary>
    public int Tokens;

    /// <summary>The position of the first token; it sees itself and all before it.</summary>
    public int FirstPosition;

    /// <summary>Query heads of each token.</summary>
    public int Group;

    /// <summary>Elements of a head.</summary>
    public int HeadDim;

    /// <summary>Elements from a position's values to the next one's: HeadDim rounded up to 16.</summary>
    public int ValueStride;

    /// <summary>What keys and values are: <see cref="ElementType.Float32"/> or <see cref="ElementType.Float16"/>.</summary>
    public ElementType Type;

    /// <summary>What scores are multiplied by: 1 / √HeadDim.</summary>
    public float Scale;

    /// <summary>(tokens, group, HeadDim), a token's rows <see cref="QueryStride"/> floats behind the last token's.</summary>
    public float* Queries;

    public long QueryStride;

    public byte* Keys;

    public byte* Values;

    /// <summary>Room for <see cref="MaxRows"/> rows of <see cref="ScoreStride"/> floats.</summary>
    public float* Scores;

    /// <summary>A multiple of 16, at least the number of positions.</summary>
    public int ScoreStride;

    /// <summary>As the queries.</summary>
    public float* Output;

    public long OutputStride;
}
