using System.Runtime.InteropServices;
using BitLab.Core;
using static TorchSharp.torch;

namespace BitLab.Layers;

/// <summary>A tensor's memory and version without TorchSharp's fixed costs: the C functions behind it, called directly. Its
/// first use lends LibTorch's threads to Core.</summary>
internal static unsafe class TensorMemory
{
    // These two only read a few fields: no need to let the garbage collector run meanwhile.
    private static readonly delegate* unmanaged[SuppressGCTransition]<nint, nint> DataOf;
    private static readonly delegate* unmanaged[SuppressGCTransition]<nint, long> VersionOf;
    private static readonly delegate* unmanaged<nint, byte> IsInferenceOf;

    static TensorMemory()
    {
        nint numThreads = 0;
        if (NativeLibrary.TryLoad("LibTorchSharp", typeof(Tensor).Assembly, null, out nint torchSharp))
        {
            if (NativeLibrary.TryGetExport(torchSharp, "THSTensor_data", out nint data))
                DataOf = (delegate* unmanaged[SuppressGCTransition]<nint, nint>)data;
            NativeLibrary.TryGetExport(torchSharp, "THSTorch_get_num_threads", out numThreads);
        }
        // at::TensorBase::_version() const and at::_ops::is_inference::call(at::Tensor const&); a TorchSharp handle is an
        // at::Tensor*. The second name is that of Microsoft's compiler.
        if (NativeLibrary.TryLoad("torch_cpu", typeof(Tensor).Assembly, null, out nint torch))
        {
            VersionOf = (delegate* unmanaged[SuppressGCTransition]<nint, long>)Export(
                torch, "_ZNK2at10TensorBase8_versionEv", "?_version@TensorBase@at@@QEBA_JXZ");
            IsInferenceOf = (delegate* unmanaged<nint, byte>)Export(
                torch, "_ZN2at4_ops12is_inference4callERKNS_6TensorE", "?call@is_inference@_ops@at@@SA_NAEBVTensor@3@@Z");
            ThreadTeam.Borrow(torch, numThreads);
        }
    }

    /// <summary>Where the first element of a CPU tensor lies, as long as the tensor lives.</summary>
    public static byte* Pointer(Tensor tensor)
    {
        if (DataOf != null)
            return (byte*)DataOf(tensor.Handle);
        fixed (byte* first = tensor.bytes)
            return first;
    }

    /// <summary>A number that every in-place operation of LibTorch raises, or null where there is none: tensors made in
    /// inference mode count nothing. Writing through <c>tensor.bytes</c> is no operation of LibTorch.</summary>
    public static long? Version(Tensor tensor)
    {
        // The version of an inference tensor throws a C++ exception, which would end the process.
        if (VersionOf == null || IsInferenceOf == null || IsInferenceOf(tensor.Handle) != 0)
            return null;
        return VersionOf(tensor.Handle);
    }

    /// <summary>The version of a tensor that is known to have one.</summary>
    public static long CountedVersion(Tensor tensor) => VersionOf(tensor.Handle);

    private static nint Export(nint library, string name, string windowsName) =>
        NativeLibrary.TryGetExport(library, OperatingSystem.IsWindows() ? windowsName : name, out nint export) ? export : 0;

    /// <summary>Keeps tensors' memory alive, whatever becomes of the tensors themselves.</summary>
    internal sealed class Owner : SafeHandle
    {
        private readonly Tensor[] aliases;

        public Owner(params Tensor[] tensors)
            : base(invalidHandleValue: 0, ownsHandle: true)
        {
            aliases = [.. tensors.Select(tensor => tensor.alias().DetachFromDisposeScope())];
            SetHandle(aliases[0].Handle);
        }

        public override bool IsInvalid => handle == 0;

        protected override bool ReleaseHandle()
        {
            foreach (Tensor alias in aliases)
                alias.Dispose();
            return true;
        }
    }
}
