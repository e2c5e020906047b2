using TorchSharp;
using static TorchSharp.torch;

namespace BitLab.Models.Tests;

public class SafetensorsTensorsTests
{
    [Fact]
    public void Every_type_shape_and_stride_comes_back()
    {
        using DisposeScope scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        var tensors = new Dictionary<string, Tensor> { ["scalar"] = tensor(3f), ["empty"] = empty(0, 4), ["strided"] = randn(4, 6).t() };
        foreach (ScalarType dtype in new[] { float32, float16, bfloat16, float64, int8, uint8, int16, int32, int64 })
            tensors[dtype.ToString()] = (randn(3, 5) * 50).to(dtype);
        tensors["bool"] = randn(5).gt(0);
        SafetensorsTensors.Save(folder["t.safetensors"], tensors);
        Dictionary<string, Tensor> loaded = SafetensorsTensors.Load(folder["t.safetensors"]);
        Assert.Equal(tensors.Keys.Order(StringComparer.Ordinal), loaded.Keys.Order(StringComparer.Ordinal));
        foreach ((string name, Tensor expected) in tensors)
        {
            Assert.Equal(expected.dtype, loaded[name].dtype);
            Assert.Equal(expected.shape, loaded[name].shape);
            Assert.True(expected.Equals(loaded[name]), name);
        }
    }

    [Fact]
    public void A_type_that_the_format_lacks_is_named()
    {
        using var folder = new TemporaryFolder();
        using Tensor complex = zeros(2, complex64);
        Assert.Contains("'c'", Assert.Throws<ArgumentException>(
            () => SafetensorsTensors.Save(folder["t.safetensors"], new Dictionary<string, Tensor> { ["c"] = complex })).Message);
        Assert.Empty(Directory.GetFiles(folder.Path));
    }
}
