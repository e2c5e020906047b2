using System.Reflection;
using System.Reflection.Emit;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>Finds out whether a module's <c>forward</c> multiplies by the weights of its layers itself, instead of calling
/// them: a ternary layer in their place would not be asked, and one that is deployed has no such weights.</summary>
/// <remarks>It reads the compiled code of <c>forward</c> and of what that calls in the same assembly. Code that is not
/// reached from there, such as that which initializes weights, does not matter.</remarks>
internal sealed class WeightReaders
{
    private static readonly Dictionary<int, OpCode> OpCodesByValue = typeof(OpCodes)
        .GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(field => (OpCode)field.GetValue(null)!)
        .ToDictionary(code => (int)(ushort)code.Value);

    private const BindingFlags Declared =
        BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    private readonly HashSet<MethodBase> seen = [];
    private readonly Queue<MethodBase> pending = new();

    private WeightReaders(Type type)
    {
        for (Type? declaring = type; declaring is not null && IsUsers(declaring); declaring = declaring.BaseType)
        {
            foreach (MethodInfo method in declaring.GetMethods(Declared))
            {
                if (method.Name == nameof(nn.Module<Tensor, Tensor>.forward))
                    Follow(method);
            }
        }
        while (pending.TryDequeue(out MethodBase? next))
            Read(next);
    }

    /// <summary>The fields out of which a layer is taken to read its weights.</summary>
    public HashSet<FieldInfo> Fields { get; } = [];

    /// <summary>Whether weights are read of a layer that comes from elsewhere: a list, a parameter, a property.</summary>
    public bool ReadsOthers { get; private set; }

    /// <summary>What a class of modules reads, or null where its code is TorchSharp's or this library's.</summary>
    public static WeightReaders? Of(Type type) => IsUsers(type) ? new WeightReaders(type) : null;

    private static bool IsUsers(Type type) =>
        type.Assembly != typeof(nn.Module).Assembly && type.Assembly != typeof(WeightReaders).Assembly && type != typeof(object);

    private void Follow(MethodBase method)
    {
        // Of a generic class or method, the code is that of its definition.
        if (seen.Add(method))
            pending.Enqueue(method);
    }

    private void Read(MethodBase method)
    {
        if (method.GetMethodBody()?.GetILAsByteArray() is not byte[] code)
            return;
        Type[]? ofType = method.DeclaringType is { IsGenericType: true } type ? type.GetGenericArguments() : null;
        Type[]? ofMethod = method.IsGenericMethod ? method.GetGenericArguments() : null;
        FieldInfo? loaded = null;
        for (int at = 0; at < code.Length;)
        {
            int value = code[at++];
            if (value == 0xFE)
                value = (value << 8) | code[at++];
            OpCode operation = OpCodesByValue[value];
            MemberInfo? member = operation.OperandType is OperandType.InlineMethod or OperandType.InlineField or OperandType.InlineTok
                ? method.Module.ResolveMember(BitConverter.ToInt32(code, at), ofType, ofMethod)
                : null;
            if (member is MethodBase called)
            {
                if (IsWeight(called))
                    Note(loaded);
                else if (called.DeclaringType is Type owner && owner.Assembly == method.Module.Assembly)
                    FollowInto(called, owner);
            }
            loaded = member as FieldInfo;
            at += operation.OperandType == OperandType.InlineSwitch
                ? 4 + (4 * BitConverter.ToInt32(code, at))
                : OperandSize(operation.OperandType);
        }
    }

    // A closure, an iterator or an async method is a class that the compiler made: made here, it runs here.
    private void FollowInto(MethodBase called, Type owner)
    {
        Follow(called);
        if (called.IsConstructor && owner.Name.StartsWith('<'))
        {
            foreach (MethodInfo method in owner.GetMethods(Declared))
                Follow(method);
        }
    }

    private void Note(FieldInfo? field)
    {
        if (field is null)
            ReadsOthers = true;
        else
            Fields.Add(field);
    }

    private static bool IsWeight(MethodBase method) =>
        method.Name == "get_weight" && (method.DeclaringType == typeof(Linear) || method.DeclaringType == typeof(Convolution));

    private static int OperandSize(OperandType type) => type switch
    {
        OperandType.InlineNone => 0,
        OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
        OperandType.InlineVar => 2,
        OperandType.InlineI8 or OperandType.InlineR => 8,
        _ => 4,
    };
}
