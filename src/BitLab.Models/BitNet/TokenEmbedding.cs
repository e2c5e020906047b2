using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>A vector for each token. (That of TorchSharp gives a new object for its weight each time, so a tied head would not
/// share the one that the optimizer has.)</summary>
internal sealed class TokenEmbedding : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = nameof(weight))]
    private Parameter vectors;

    public TokenEmbedding(Tensor vectors)
        : base(nameof(TokenEmbedding))
    {
        this.vectors = nn.Parameter(vectors);
        RegisterComponents();
    }

    /// <summary>(vocabulary, hidden).</summary>
    public Parameter weight
    {
        get => vectors;
        private set
        {
            vectors.Dispose();
            vectors = value;
            ConditionallyRegisterParameter(nameof(weight), value);
        }
    }

    /// <param name="input">(*), token numbers.</param>
    /// <returns>(*, hidden).</returns>
    public override Tensor forward(Tensor input)
    {
        using DisposeScope scope = NewDisposeScope();
        return vectors.index_select(0, input.flatten()).view([.. input.shape, vectors.size(1)]).MoveToOuterDisposeScope();
    }
}
