using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>Gives values the gradient of another tensor: what reaches them in the backward pass reaches that one, unchanged and
/// uncopied.</summary>
internal static class IdentityGradient
{
    // Of LibTorch's operations whose gradient is the identity, this one neither copies its input nor makes a view that shares the
    // input's version. TorchSharp does not name it; a script reaches it.
    private const string Script =
        """
        def same(x):
            return torch._unsafe_view(x, x.size())

        """;

    private static readonly Lazy<jit.CompilationUnit> Compiled = new(() => jit.compile(Script));

    /// <summary>Attaches values.</summary>
    /// <param name="values">Of the shape and type of <paramref name="x"/>; the result has their memory.</param>
    /// <param name="x">Who gets the gradient; it requires one, and gradients are enabled.</param>
    /// <returns>A new tensor.</returns>
    public static Tensor Attach(Tensor values, Tensor x)
    {
        Tensor result = Compiled.Value.invoke<Tensor>("same", x);
        using (no_grad())
            result.set_(values);
        return result;
    }
}
