using System.Collections;
using System.Reflection;

namespace BitLab.Layers;

/// <summary>A place in memory that holds a reference: a field, an element, a dictionary's value.</summary>
internal abstract class Slot
{
    /// <summary>What the place can hold.</summary>
    public abstract Type Type { get; }

    /// <summary>What errors and reports call it.</summary>
    public abstract string Name { get; }

    /// <summary>Whether it must not be written: what is around it would not notice.</summary>
    public virtual bool IsFixed => false;

    public abstract object? Value { get; set; }

    /// <summary>The field that it is, or that it is in, or null.</summary>
    public virtual FieldInfo? Field => null;

    /// <summary>Why it cannot hold something else of this type, or null.</summary>
    public string? WhyNot(Type type) =>
        IsFixed ? $"{Name} cannot be changed"
        : Type.IsAssignableFrom(type) ? null
        : $"{Name} is a {Type.Name}";
}

/// <summary>A field of an object.</summary>
internal sealed class FieldSlot(object owner, FieldInfo fieldInfo, bool isFixed) : Slot
{
    public override Type Type => fieldInfo.FieldType;

    // An auto-property's field is called <Name>k__BackingField.
    public override string Name => $"{fieldInfo.DeclaringType!.Name}.{fieldInfo.Name.Split('>')[0].TrimStart('<')}";

    public override bool IsFixed => isFixed;

    public override FieldInfo? Field => fieldInfo;

    public override object? Value
    {
        get => fieldInfo.GetValue(owner);
        set => fieldInfo.SetValue(owner, value);
    }
}

/// <summary>A field of a struct that lies in another slot: written by writing the whole struct.</summary>
internal sealed class StructSlot(Slot around, FieldInfo fieldInfo) : Slot
{
    public override Type Type => fieldInfo.FieldType;

    public override string Name => around.Name;

    public override bool IsFixed => around.IsFixed;

    public override object? Value
    {
        get => fieldInfo.GetValue(around.Value);
        set
        {
            object copy = around.Value!;
            fieldInfo.SetValue(copy, value);
            around.Value = copy;
        }
    }
}

/// <summary>An element of an array or a list.</summary>
internal sealed class ElementSlot(string name, IList list, int index, Type type) : Slot
{
    public override Type Type => type;

    public override string Name => name;

    public override object? Value
    {
        get => list[index];
        set => list[index] = value;
    }
}

/// <summary>A value of a dictionary.</summary>
internal sealed class EntrySlot(string name, IDictionary dictionary, object key, Type type) : Slot
{
    public override Type Type => type;

    public override string Name => name;

    public override object? Value
    {
        get => dictionary[key];
        set => dictionary[key] = value;
    }
}

/// <summary>A reference that can be read only: a delegate's target, a key.</summary>
internal sealed class FixedSlot(string name, object value) : Slot
{
    public override Type Type => value.GetType();

    public override string Name => name;

    public override bool IsFixed => true;

    public override object? Value
    {
        get => value;
        set => throw new NotSupportedException($"{name} cannot be changed.");
    }
}
