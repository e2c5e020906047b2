using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SomeoneElsesModels;

/// <summary>A small decoder-only transformer with fields typed as the factory methods return them.</summary>
public sealed class TinyLanguageModel : Module<Tensor, Tensor>
{
    private readonly Embedding tokens;
    private readonly Embedding positions;
    private readonly ModuleList<Block> blocks;
    private readonly LayerNorm norm;
    private readonly Linear head;

    public TinyLanguageModel(int vocabulary = 50, int context = 16, int width = 32, int heads = 4, int depth = 2)
        : base(nameof(TinyLanguageModel))
    {
        tokens = Embedding(vocabulary, width);
        positions = Embedding(context, width);
        blocks = new ModuleList<Block>(Enumerable.Range(0, depth).Select(_ => new Block(width, heads)).ToArray());
        norm = LayerNorm(width);
        head = Linear(width, vocabulary, hasBias: false);
        RegisterComponents();
        InitializeWeights();
    }

    public override Tensor forward(Tensor ids)
    {
        using var scope = NewDisposeScope();
        Tensor x = tokens.call(ids) + positions.call(arange(ids.size(1), device: ids.device));
        foreach (Block block in blocks)
            x = block.call(x);
        return head.call(norm.call(x)).MoveToOuterDisposeScope();
    }

    // Reads weights, but computes nothing with them.
    private void InitializeWeights()
    {
        foreach (Module module in modules())
        {
            if (module is Linear linear)
                init.normal_(linear.weight, 0, 0.2);
        }
    }
}

/// <summary>Attention and a perceptron, pre-norm.</summary>
public sealed class Block : Module<Tensor, Tensor>
{
    private readonly LayerNorm norm1;
    private readonly CausalSelfAttention attention;
    private readonly LayerNorm norm2;
    private readonly Sequential mlp;

    public Block(int width, int heads)
        : base(nameof(Block))
    {
        norm1 = LayerNorm(width);
        attention = new CausalSelfAttention(width, heads);
        norm2 = LayerNorm(width);
        mlp = Sequential(("up", Linear(width, 4 * width)), ("act", GELU()), ("down", Linear(4 * width, width)));
        RegisterComponents();
    }

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        x = x + attention.call(norm1.call(x));
        return (x + mlp.call(norm2.call(x))).MoveToOuterDisposeScope();
    }
}

/// <summary>The fields are typed Linear, as most people's are.</summary>
public sealed class CausalSelfAttention : Module<Tensor, Tensor>
{
    private readonly int heads;
    private readonly Linear query, key, value;
    private readonly Linear output;

    public CausalSelfAttention(int width, int heads)
        : base(nameof(CausalSelfAttention))
    {
        this.heads = heads;
        query = Linear(width, width, hasBias: false);
        key = Linear(width, width, hasBias: false);
        value = Linear(width, width, hasBias: false);
        output = Linear(width, width);
        RegisterComponents();
    }

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        (long batch, long length, long width) = (x.size(0), x.size(1), x.size(2));
        Tensor Split(Tensor t) => t.view(batch, length, heads, width / heads).transpose(1, 2);
        Tensor mixed = functional.scaled_dot_product_attention(
            Split(query.call(x)), Split(key.call(x)), Split(value.call(x)), is_casual: true);
        return output.call(mixed.transpose(1, 2).reshape(batch, length, width)).MoveToOuterDisposeScope();
    }
}
