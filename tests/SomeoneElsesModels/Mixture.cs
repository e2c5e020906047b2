using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SomeoneElsesModels;

/// <summary>What all models of a project share: a private field in a base class.</summary>
public abstract class ModelBase : Module<Tensor, Tensor>
{
    private readonly Module<Tensor, Tensor> stem;

    protected ModelBase(string name, int width)
        : base(name)
    {
        stem = Linear(width, width);
        register_module("stem", stem);
    }

    protected Tensor Stem(Tensor x) => functional.relu(stem.call(x));
}

/// <summary>Every way to hold a layer that C# offers, in one model.</summary>
public sealed class Mixture : ModelBase
{
    private readonly Module<Tensor, Tensor>[] array;
    private readonly List<Module<Tensor, Tensor>> list = [];
    private readonly Dictionary<string, Module<Tensor, Tensor>> dictionary = [];
    private readonly (string Name, Module<Tensor, Tensor> Layer) tuple;
    private readonly Helper helper;
    private readonly Func<Tensor, Tensor> callback;
    private readonly ModuleDict<Module<Tensor, Tensor>> named = new();
    private readonly ModuleList<Linear> exact;
    private readonly ModuleList<Module<Tensor, Tensor>> experts;
    private Module untyped;

    public Mixture(int width = 24)
        : base(nameof(Mixture), width)
    {
        array = [Linear(width, width), Tanh()];
        list.Add(Linear(width, width));
        dictionary["gate"] = Linear(width, width);
        tuple = ("pair", Linear(width, width));
        helper = new Helper(width);
        Module<Tensor, Tensor> captured = Linear(width, width);
        callback = x => captured.call(x);
        named.Add("a", Linear(width, width));
        exact = new ModuleList<Linear>(Linear(width, width), Linear(width, width));
        experts = new ModuleList<Module<Tensor, Tensor>>(Linear(width, width), Sequential(Linear(width, width), ReLU()));
        untyped = Linear(width, width);
        Property = Linear(width, width);
        ReadOnly = Linear(width, width, hasBias: false);
        First = Second = Linear(width, width);
        Head = Linear(width, 5);
        RegisterComponents();
        register_module("array0", array[0]);
        register_module("list0", list[0]);
        register_module("gate", dictionary["gate"]);
        register_module("pair", tuple.Layer);
        register_module("helper", helper.Layer);
        register_module("captured", captured);
    }

    public Module<Tensor, Tensor> Property { get; set; }

    public IModule<Tensor, Tensor> ReadOnly { get; }

    /// <summary>Two names of one layer.</summary>
    public Module<Tensor, Tensor> First { get; }

    public Module<Tensor, Tensor> Second { get; }

    public Module<Tensor, Tensor> Head { get; }

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        x = Stem(x);
        foreach (Module<Tensor, Tensor> layer in array.Concat(list))
            x = layer.call(x);
        x = x * functional.sigmoid(dictionary["gate"].call(x));
        x = callback(helper.Apply(tuple.Layer.call(x)));
        x = named["a"].call(x);
        foreach (Linear layer in exact)
            x = functional.relu(layer.call(x));
        Tensor sum = zeros_like(x);
        foreach (Module<Tensor, Tensor> expert in experts)
            sum = sum + expert.call(x);
        x = ((Module<Tensor, Tensor>)untyped).call(sum);
        x = Second.call(functional.relu(First.call(ReadOnly.call(Property.call(x)))));
        return Head.call(x).MoveToOuterDisposeScope();
    }

    /// <summary>No module, but it holds one.</summary>
    private sealed class Helper(int width)
    {
        public Module<Tensor, Tensor> Layer { get; } = Linear(width, width);

        public Tensor Apply(Tensor x) => Layer.call(x);
    }
}
