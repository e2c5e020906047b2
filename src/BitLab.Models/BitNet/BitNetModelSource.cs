using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>The tensors of a model, for a writer.</summary>
internal sealed unsafe class BitNetModelSource(BitNetModel model) : IBitNetSource
{
    private readonly Dictionary<string, Tensor> tensors = model.state_dict();

    private readonly Dictionary<string, BitLayerBase> layers =
        BitModules.NamedLayers(model).ToDictionary(named => named.Path + BitNetConfig.WeightSuffix, named => named.Layer);

    public BitNetConfig Config => model.Architecture;

    public TensorEncoding EncodingOf(string name)
    {
        if (layers.TryGetValue(name, out BitLayerBase? layer) && layer.IsDeployed)
            return layer.Packing == WeightPacking.Dense ? TensorEncoding.DensePanels : TensorEncoding.Panels;
        return tensors[name].dtype switch
        {
            ScalarType.BFloat16 => TensorEncoding.BF16,
            ScalarType.Float16 => TensorEncoding.F16,
            _ => TensorEncoding.F32,
        };
    }

    public void ReadFloats(string name, long first, Span<float> values)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor some = tensors[name].detach().flatten().narrow(0, first, values.Length).to(ScalarType.Float32, CPU).contiguous();
        new Span<float>(TensorMemory.Pointer(some), values.Length).CopyTo(values);
    }

    public Granularity GranularityOf(string name) => layers[name].QuantConfig.WeightGranularity;

    public PackedTernaryWeights ReadTernary(string name) => layers[name].CopyPacked();
}
