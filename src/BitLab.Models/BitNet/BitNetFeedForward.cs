using BitLab.Core;
using BitLab.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models;

/// <summary>down(norm(act(gate(x)) · up(x))), with squared ReLU or SiLU, the norm only in models that have it.</summary>
/// <remarks>The gate: Shazeer 2020, arXiv:2002.05202. Squared ReLU: So et al. 2021, arXiv:2109.08668.</remarks>
internal sealed class BitNetFeedForward : nn.Module<Tensor, Tensor>
{
    private readonly BitNetActivation activation;
    private readonly nn.Module<Tensor, Tensor> gate_proj;
    private readonly nn.Module<Tensor, Tensor> up_proj;
    private readonly RMSNorm? ffn_sub_norm;
    private readonly nn.Module<Tensor, Tensor> down_proj;

    public BitNetFeedForward(string path, BitNetConfig config, BitNetParts parts)
        : base(nameof(BitNetFeedForward))
    {
        activation = config.HiddenAct;
        gate_proj = parts.Linear($"{path}.{nameof(gate_proj)}", config.HiddenSize, config.IntermediateSize);
        up_proj = parts.Linear($"{path}.{nameof(up_proj)}", config.HiddenSize, config.IntermediateSize);
        ffn_sub_norm = config.HasSubNorms ? parts.Norm($"{path}.{nameof(ffn_sub_norm)}", config.IntermediateSize) : null;
        down_proj = parts.Linear($"{path}.{nameof(down_proj)}", config.IntermediateSize, config.HiddenSize);
        RegisterComponents();
    }

    /// <param name="input">(*, hidden).</param>
    /// <returns>The same shape.</returns>
    public override Tensor forward(Tensor input)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor gate = gate_proj.call(input);
        Tensor active = activation == BitNetActivation.Relu2 ? gate.relu().square() : nn.functional.silu(gate);
        Tensor gated = active * up_proj.call(input);
        return down_proj.call(ffn_sub_norm?.call(gated) ?? gated).MoveToOuterDisposeScope();
    }
}
