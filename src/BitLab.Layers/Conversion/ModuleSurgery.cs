using System.Collections;
using System.Reflection;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>A module in a tree, by its first path.</summary>
internal sealed record TreeModule(string Path, nn.Module Module, IReadOnlyList<nn.Module> Above);

/// <summary>Finds a model's modules and every place in memory that holds one of its linear layers and
/// convolutions.</summary>
/// <remarks>TorchSharp's own containers are not special: what <c>Sequential</c>, <c>ModuleList</c>, <c>ModuleDict</c> and
/// <c>register_module</c> keep are fields with lists and dictionaries in them, as a user's may be, and are found in the same
/// way.</remarks>
internal sealed class ModuleSurgery
{
    private static readonly Type[] Walls =
    [
        typeof(string), typeof(Tensor), typeof(Type), typeof(MemberInfo), typeof(Assembly), typeof(System.Runtime.InteropServices.SafeHandle),
        typeof(Thread), typeof(Device), typeof(IntPtr), typeof(Pointer), typeof(Stream),
    ];

    private readonly HashSet<object> visited = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<nn.Module, TreeModule> byModule = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<nn.Module, List<Slot>> holders = new(ReferenceEqualityComparer.Instance);
    private readonly List<TreeModule> tree = [];
    private readonly Stack<object> pending = new();

    public ModuleSurgery(nn.Module root)
    {
        AddToTree(root, "", []);
        foreach (TreeModule found in tree)
            pending.Push(found.Module);
        while (pending.TryPop(out object? next))
            Walk(next);
    }

    /// <summary>Every module once, a parent before its children, children in their order.</summary>
    public IReadOnlyList<TreeModule> Tree => tree;

    /// <summary>The <c>Linear</c>s that fields hold and that are no children of the model.</summary>
    public IEnumerable<(Linear Linear, string Holder)> Strays =>
        holders.Where(held => held.Key is Linear && !byModule.ContainsKey(held.Key)).Select(held => ((Linear)held.Key, held.Value[0].Name));

    /// <summary>The places that hold a <c>Linear</c> or a convolution.</summary>
    public IReadOnlyList<Slot> Holders(nn.Module layer) => holders.TryGetValue(layer, out List<Slot>? slots) ? slots : [];

    private void AddToTree(nn.Module module, string path, IReadOnlyList<nn.Module> above)
    {
        var found = new TreeModule(path, module, above);
        if (!byModule.TryAdd(module, found))
            return;
        tree.Add(found);
        foreach ((string name, nn.Module child) in module.named_children())
            AddToTree(child, path.Length == 0 ? name : $"{path}.{name}", [.. above, module]);
    }

    private void Walk(object value)
    {
        if (!visited.Add(value))
            return;
        Type type = value.GetType();
        switch (value)
        {
            // Nobody's fields, and its hooks' closures are the caller's.
            case Linear or Convolution:
                return;
            case Delegate callback:
                foreach (Delegate single in callback.GetInvocationList())
                {
                    if (single.Target is object target)
                        Visit(new FixedSlot($"a delegate to {single.Method.Name}", target));
                }
                return;
            case Array array when array.Rank == 1 && CanHoldModules(type.GetElementType()!):
                for (int i = 0; i < array.Length; i++)
                    Visit(new ElementSlot($"an array of {type.GetElementType()!.Name}", array, i, type.GetElementType()!));
                return;
            case Array:
                return;
            case IList list when IsGeneric(type, typeof(List<>)):
                if (!CanHoldModules(type.GenericTypeArguments[0]))
                    return;
                for (int i = 0; i < list.Count; i++)
                    Visit(new ElementSlot($"a list of {type.GenericTypeArguments[0].Name}", list, i, type.GenericTypeArguments[0]));
                return;
            case IDictionary dictionary when IsGeneric(type, typeof(Dictionary<,>)):
                foreach (object key in dictionary.Keys.Cast<object>().ToArray())
                {
                    Visit(new FixedSlot("a dictionary's key", key));
                    Visit(new EntrySlot($"a dictionary of {type.GenericTypeArguments[1].Name}", dictionary, key, type.GenericTypeArguments[1]));
                }
                return;
        }

        bool isFrameworks = type.Namespace is string space && (space == "System" || space.StartsWith("System.", StringComparison.Ordinal));
        bool isPlainHolder = type.FullName!.StartsWith("System.Tuple`", StringComparison.Ordinal) || IsGeneric(type, typeof(Lazy<>));
        // Sets hash what they hold, immutable collections are shared: their fields are read and not written. Anything else of
        // the framework's leads away from the model.
        if (isFrameworks && !isPlainHolder && !type.FullName.StartsWith("System.Collections.", StringComparison.Ordinal))
            return;
        for (Type? declaring = type; declaring is not null && declaring != typeof(object); declaring = declaring.BaseType)
        {
            foreach (FieldInfo field in InstanceFields(declaring))
            {
                if (CanHoldModules(field.FieldType))
                    Visit(new FieldSlot(value, field, isFixed: isFrameworks && !isPlainHolder));
            }
        }
    }

    private void Visit(Slot slot)
    {
        object? value = slot.Value;
        if (value is null || !CanHoldModules(value.GetType()))
            return;
        if (value is Linear or Convolution)
        {
            var layer = (nn.Module)value;
            if (!holders.TryGetValue(layer, out List<Slot>? slots))
                holders[layer] = slots = [];
            slots.Add(slot);
        }
        else if (value.GetType().IsValueType)
        {
            foreach (FieldInfo field in InstanceFields(value.GetType()))
            {
                if (CanHoldModules(field.FieldType))
                    Visit(new StructSlot(slot, field));
            }
        }
        else
        {
            pending.Push(value);
        }
    }

    private static FieldInfo[] InstanceFields(Type type) =>
        type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly);

    private static bool IsGeneric(Type type, Type definition) => type.IsGenericType && type.GetGenericTypeDefinition() == definition;

    private static bool CanHoldModules(Type type) =>
        !type.IsPrimitive && !type.IsEnum && !type.IsPointer && !type.IsByRefLike && !type.IsFunctionPointer
        && !Walls.Any(wall => wall.IsAssignableFrom(type))
        && (!type.IsArray || CanHoldModules(type.GetElementType()!));
}
