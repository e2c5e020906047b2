using System.IO.Enumeration;
using System.Reflection;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>What a conversion will do, decided before anything is changed.</summary>
internal sealed class ConversionPlan
{
    private readonly ConversionOptions options;
    private readonly ModuleSurgery surgery;
    private readonly Dictionary<Type, WeightReaders?> readers = [];
    private readonly List<ConversionRow> rows = [];
    private readonly List<string> notes = [];
    private readonly List<(string Path, nn.Module<Tensor, Tensor> Former, bool IsGraft)> steps = [];

    public ConversionPlan(nn.Module model, ConversionOptions options)
    {
        this.options = options;
        surgery = new ModuleSurgery(model);
        // The layers that first and last are meant among, ternary already or not.
        TreeModule[] layers = [.. surgery.Tree.Where(found => found.Module is BitLinear || IsWanted(found.Module)
            || (options.Convolutions && found.Module is BitConvBase))];
        foreach (TreeModule found in surgery.Tree)
        {
            switch (found.Module)
            {
                case nn.Module<Tensor, Tensor> host when Graft.On(host) is Graft graft:
                    AddTernaryRow(found, graft.Layer, "by a graft");
                    break;
                case nn.Module<Tensor, Tensor> layer when IsWanted(layer):
                    Decide(found, layer, isFirst: layers[0] == found, isLast: layers[^1] == found);
                    break;
                case BitLayerBase layer:
                    AddTernaryRow(found, layer, "");
                    break;
                case nn.Module native when NativeLayers.WhyNot(native) is string why:
                    Parameter[] parameters = [.. native.parameters()];
                    AddRow(found, parameters.Length == 1 ? parameters[0] : null, parameters, ConversionOutcome.NotConvertible, why);
                    break;
            }
        }
        foreach ((Linear linear, string holder) in surgery.Strays)
        {
            notes.Add($"{holder} holds a Linear({linear.in_features}, {linear.out_features}) that is no child of the model, "
                + "neither trained nor saved with it: left alone.");
        }
        foreach (string pattern in options.Skip)
        {
            if (!surgery.Tree.Any(found => Matches(found.Path, pattern)))
                notes.Add($"Skip: '{pattern}' is the path of no module.");
        }
        if (rows.Any(row => row.Outcome == ConversionOutcome.Grafted))
        {
            notes.Add("Grafted layers answer to layer.call(x); layer.forward(x) passes the graft by and multiplies floats.");
        }
    }

    /// <summary>What will become of each layer.</summary>
    public IReadOnlyList<ConversionRow> Rows => rows;

    /// <summary>The layers that will be converted.</summary>
    public IReadOnlyList<(string Path, nn.Module<Tensor, Tensor> Former, bool IsGraft)> Steps => steps;

    /// <summary>Does it, all or nothing.</summary>
    public ConversionReport CarryOut()
    {
        var done = new List<Conversion>();
        try
        {
            // What can fail comes first: a layer in eval mode packs its weights.
            foreach ((string path, nn.Module<Tensor, Tensor> former, bool isGraft) in steps)
                done.Add(new Conversion(path, former, isGraft ? null : surgery.Holders(former), options));
            foreach (Conversion conversion in done)
                conversion.CarryOut();
            nn.Module root = surgery.Tree[0].Module;
            var left = new HashSet<nn.Module>(root.named_modules().Select(named => named.module), ReferenceEqualityComparer.Instance);
            if (done.FirstOrDefault(conversion => !conversion.IsGraft && left.Contains(conversion.Former)) is Conversion failed)
                throw new NotSupportedException($"'{failed.Path}' cannot be replaced: its parent keeps it where no field holds it.");
        }
        catch
        {
            foreach (Conversion conversion in done.AsEnumerable().Reverse())
                conversion.Undo();
            throw;
        }
        return new ConversionReport(rows, notes, Undo);

        void Undo()
        {
            if (done.FirstOrDefault(conversion => conversion.IsDeployed) is Conversion deployed)
                throw new InvalidOperationException($"'{deployed.Path}' is deployed: its float weights are freed, so there is no way back.");
            foreach (Conversion conversion in done.AsEnumerable().Reverse())
                conversion.Undo();
        }
    }

    private bool IsWanted(nn.Module module) => module is Linear || (options.Convolutions && module is Conv1d or Conv2d);

    private void Decide(TreeModule found, nn.Module<Tensor, Tensor> layer, bool isFirst, bool isLast)
    {
        Parameter weight = TorchSharpInternals.Weight(layer)!;      // None of them is made without.
        string? fixture = surgery.Tree[0].Module == layer
            ? "the model itself, which its caller holds"
            : surgery.Holders(layer).Select(slot => slot.WhyNot(TwinOf(layer))).FirstOrDefault(why => why is not null);
        (ConversionOutcome outcome, string why) =
            WhyKept(found, layer, weight, isFirst, isLast) is string kept ? (ConversionOutcome.Kept, kept)
            : WhyImpossible(found, weight) is string impossible ? (ConversionOutcome.NotConvertible, impossible)
            : fixture is null ? (ConversionOutcome.Replaced, "")
            : (ConversionOutcome.Grafted, fixture);
        if (outcome is ConversionOutcome.Replaced or ConversionOutcome.Grafted)
            steps.Add((found.Path, layer, outcome == ConversionOutcome.Grafted));
        AddRow(found, weight, layer.parameters(), outcome, why);
    }

    private static Type TwinOf(nn.Module layer) =>
        layer is Linear ? typeof(BitLinear) : layer is Conv1d ? typeof(BitConv1d) : typeof(BitConv2d);

    private string? WhyKept(TreeModule found, nn.Module layer, Parameter weight, bool isFirst, bool isLast)
    {
        string[] pathsAbove = [.. surgery.Tree.Where(m => m.Path.Length > 0 && (found.Path + ".").StartsWith(m.Path + ".", StringComparison.Ordinal)).Select(m => m.Path)];
        if (options.Skip.FirstOrDefault(pattern => pathsAbove.Any(path => Matches(path, pattern))) is string skipped)
            return $"Skip: '{skipped}'";
        if (options.SkipTypes.FirstOrDefault(type => found.Above.Append(layer).Any(type.IsInstanceOfType)) is Type skippedType)
            return $"SkipTypes: {skippedType.Name}";
        if (weight.numel() < options.MinWeights)
            return $"MinWeights: {options.MinWeights}";
        if (isLast && options.KeepLast)
            return "the last layer (KeepLast)";
        return isFirst && options.KeepFirst ? "the first layer (KeepFirst)" : null;
    }

    private string? WhyImpossible(TreeModule found, Parameter weight)
    {
        if (!weight.is_floating_point())
            return $"its weights are {weight.dtype}, not floats";
        if (BitLayerBase.WhyUnpackable(weight.shape) is string why)
            return why;
        foreach (TreeModule above in surgery.Tree.Where(module => found.Above.Contains(module.Module, ReferenceEqualityComparer.Instance)))
        {
            if (Reads(above.Module, found))
                return $"{above.Module.GetType().Name}.forward reads its weight itself";
        }
        // Deploying frees the float weights, which another module would go on using.
        foreach (TreeModule other in surgery.Tree)
        {
            if (other.Module == found.Module || other.Module is Sequential)
                continue;
            foreach ((string name, Parameter parameter) in other.Module.named_parameters(recurse: false))
            {
                if (ReferenceEquals(parameter, weight) || parameter.Handle == weight.Handle)
                    return $"its weight is {(other.Path.Length == 0 ? "" : other.Path + ".")}{name} too";
            }
        }
        return null;
    }

    // What comes from no field of its own is taken for any of the module's children.
    private bool Reads(nn.Module module, TreeModule layer)
    {
        Type type = module.GetType();
        if (!readers.TryGetValue(type, out WeightReaders? reader))
            readers[type] = reader = WeightReaders.Of(type);
        return reader is not null
            && (surgery.Holders(layer.Module).Any(slot => slot.Field is FieldInfo field && reader.Fields.Contains(field))
                || (reader.ReadsOthers && layer.Above[^1] == module));
    }

    private void AddRow(TreeModule found, Parameter? weight, IEnumerable<Parameter> parameters, ConversionOutcome outcome, string why)
    {
        long bytes = parameters.Sum(Bytes), after = bytes;
        if (outcome is ConversionOutcome.Replaced or ConversionOutcome.Grafted)
        {
            after += BitLayerBase.DeployedBytes(weight!.shape, options.Config) - Bytes(weight);
            if (options.SubLN && found.Module is Linear)
                after += weight.size(1) * weight.element_size();
        }
        rows.Add(new ConversionRow(found.Path, found.Module.GetType().Name, weight?.shape ?? [], bytes, after, outcome, why));
    }

    private void AddTernaryRow(TreeModule found, BitLayerBase layer, string why)
    {
        long floats = layer.parameters().Sum(Bytes), latent = layer.weight is Parameter weight ? Bytes(weight) : 0;
        long deployed = floats - latent + layer.PackedBytes, now = layer.IsDeployed ? deployed : floats;
        rows.Add(new ConversionRow(
            found.Path, found.Module.GetType().Name, layer.WeightShape, now, deployed, ConversionOutcome.AlreadyTernary, why));
    }

    private static long Bytes(Parameter parameter) => parameter.numel() * parameter.element_size();

    private static bool Matches(string path, string pattern) => FileSystemName.MatchesSimpleExpression(pattern, path, ignoreCase: false);
}
