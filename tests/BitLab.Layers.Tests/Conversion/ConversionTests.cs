using BitLab.Core;
using SomeoneElsesModels;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace BitLab.Layers.Tests;

[Collection(nameof(CountsWeightBytes))]
public class ConversionTests
{
    private static readonly ConversionOptions Everything = new() { KeepLast = false, Convolutions = true };

    public static TheoryData<string> Models => ["sequential", "mixture", "language model", "convolutions", "linear", "conv2d"];

    // TorchSharp 0.107 cannot move or cast a model with a ModuleDict in it, converted or not.
    public static TheoryData<string> MovableModels => ["sequential", "language model", "convolutions", "linear", "conv2d"];

    // A Linear that is the whole model disposes its parameters and no children: what is packed beside it waits for the garbage
    // collector.
    public static TheoryData<string> ModelsWithLayers => ["sequential", "mixture", "language model", "convolutions"];

    [Theory, MemberData(nameof(Models))]
    public void Keys_their_order_and_the_parameter_objects_stay(string name)
    {
        using nn.Module<Tensor, Tensor> model = Make(name);
        string[] keys = [.. model.state_dict().Keys], names = [.. model.named_parameters().Select(p => p.name)];
        Parameter[] parameters = [.. model.parameters()];
        ConversionReport report = model.ConvertToBitLinear(Everything);
        Assert.NotEmpty(report.Converted);
        Assert.All(report.Rows, row => Assert.True(row.IsConverted, row.ToString()));
        Assert.Equal(report.Rows.Count, report.Rows.DistinctBy(row => row.Name).Count());
        Assert.Equal(keys, model.state_dict().Keys);
        Assert.Equal(names, model.named_parameters().Select(p => p.name));
        Parameter[] after = [.. model.parameters()];
        Assert.Equal(parameters.Length, after.Length);
        Assert.All(parameters.Zip(after), pair => Assert.Same(pair.First, pair.Second));
    }

    [Theory, MemberData(nameof(Models))]
    public void The_model_computes_as_with_fake_quantized_linears(string name)
    {
        using DisposeScope scope = NewDisposeScope();
        using nn.Module<Tensor, Tensor> model = Make(name);
        Tensor x = Input(name), expected = FakeQuantized(model, x);
        model.ConvertToBitLinear(Everything);
        model.train();
        BitLinearTests.AssertClose(expected, model.call(x));
        model.eval();
        Tensor evaluated = model.call(x);
        // Where a kernel's sum differs in the last bit, the next layer may round an activation to the neighbouring integer.
        BitLinearTests.AssertClose(expected, evaluated, relative: 0.05);
        model.Deploy();
        BitLinearTests.AssertEqual(evaluated, model.call(x));
    }

    [Theory, MemberData(nameof(Models))]
    public void Undo_gives_the_former_model(string name)
    {
        using DisposeScope scope = NewDisposeScope();
        using nn.Module<Tensor, Tensor> model = Make(name);
        Tensor x = Input(name), before = model.call(x);
        nn.Module[] modules = [.. model.modules()];
        string[] keys = [.. model.state_dict().Keys];
        ConversionReport report = model.ConvertToBitLinear(Everything);
        Assert.False(before.Equals(model.call(x)));
        report.Undo();
        report.Undo();
        BitLinearTests.AssertEqual(before, model.call(x));
        AssertSame(modules, model.modules());
        Assert.Equal(keys, model.state_dict().Keys);
        model.ConvertToBitLinear(Everything);
        Assert.False(before.Equals(model.call(x)));
    }

    [Theory, MemberData(nameof(Models))]
    public void A_second_conversion_does_nothing(string name)
    {
        foreach (bool keepLast in new[] { false, true })
        {
            using nn.Module<Tensor, Tensor> model = Make(name);
            model.ConvertToBitLinear(Everything with { KeepLast = keepLast });
            nn.Module[] modules = [.. model.modules()];
            ConversionReport again = model.ConvertToBitLinear(Everything with { KeepLast = keepLast });
            Assert.Empty(again.Converted);
            AssertSame(modules, model.modules());
            again.Undo();
            AssertSame(modules, model.modules());
        }
    }

    [Theory, MemberData(nameof(Models))]
    public void Optimizers_made_before_and_after_move_every_parameter(string name)
    {
        using DisposeScope scope = NewDisposeScope();
        using nn.Module<Tensor, Tensor> model = Make(name);
        using var before = optim.SGD(model.parameters(), 0.1);
        model.ConvertToBitLinear(Everything);
        using var after = optim.SGD(model.parameters(), 0.1);
        foreach (optim.Optimizer optimizer in new optim.Optimizer[] { before, after })
        {
            Tensor[] values = [.. model.parameters().Select(p => p.detach().clone())];
            optimizer.zero_grad();
            model.call(Input(name)).square().sum().backward();
            optimizer.step();
            Assert.All(
                values.Zip(model.named_parameters()), pair => Assert.False(pair.First.Equals(pair.Second.parameter), pair.Second.name));
        }
    }

    [Theory, MemberData(nameof(Models))]
    public void Training_after_an_eval_is_seen_by_the_next_eval(string name)
    {
        using DisposeScope scope = NewDisposeScope();
        using nn.Module<Tensor, Tensor> model = Make(name);
        model.ConvertToBitLinear(Everything);
        Tensor x = Input(name);
        model.eval();
        Tensor first = model.call(x);
        using (no_grad())
        {
            foreach (Parameter parameter in model.parameters())
                parameter.copy_(randn_like(parameter));
        }
        Tensor second = model.call(x);
        Assert.False(first.Equals(second));
        model.train();
        model.eval();
        BitLinearTests.AssertEqual(second, model.call(x));
    }

    [Theory, MemberData(nameof(Models))]
    public void Saved_files_load_into_converted_and_unconverted_models(string name)
    {
        string file = Path.GetTempFileName();
        try
        {
            using DisposeScope scope = NewDisposeScope();
            using nn.Module<Tensor, Tensor> model = Make(name), converted = Make(name, seed: 2), plain = Make(name, seed: 3);
            Tensor x = Input(name), expected = model.call(x);
            model.ConvertToBitLinear(Everything);
            model.eval();
            model.save(file);
            plain.load(file);
            BitLinearTests.AssertEqual(expected, plain.call(x));
            // In eval mode, so that what was packed before has to be noticed as old.
            converted.ConvertToBitLinear(Everything);
            converted.eval();
            converted.call(x);
            converted.load(file);
            BitLinearTests.AssertEqual(model.call(x), converted.call(x));
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Theory, MemberData(nameof(Models))]
    public void Deployed_state_dicts_load_into_fresh_converted_models(string name)
    {
        using DisposeScope scope = NewDisposeScope();
        using nn.Module<Tensor, Tensor> model = Make(name), fresh = Make(name, seed: 2);
        model.ConvertToBitLinear(Everything);
        fresh.ConvertToBitLinear(Everything);
        Tensor x = Input(name);
        model.Deploy();
        Dictionary<string, Tensor> state = model.state_dict();
        Assert.Contains(state.Keys, key => key.EndsWith(BitLayerBase.PackedKey));
        fresh.LoadStateDict(state);
        fresh.eval();
        BitLinearTests.AssertEqual(model.call(x), fresh.call(x));
        Assert.Equal(state.Keys.Order(), fresh.state_dict().Keys.Order());
    }

    [Theory, MemberData(nameof(MovableModels))]
    public void Casts_and_moves_take_the_converted_layers_along(string name)
    {
        using DisposeScope scope = NewDisposeScope();
        using nn.Module<Tensor, Tensor> model = Make(name);
        model.ConvertToBitLinear(Everything);
        Tensor x = Input(name);
        model.eval();
        model.call(x);
        model.to(ScalarType.BFloat16);
        Assert.All(model.parameters(), p => Assert.Equal(ScalarType.BFloat16, p.dtype));
        ScalarType type = name == "language model" ? ScalarType.Int64 : ScalarType.BFloat16;
        Tensor half = model.call(x.to(type));
        Assert.Equal(ScalarType.BFloat16, half.dtype);
        model.Deploy();
        // Tokens in bfloat16 go through the same packed weights.
        BitLinearTests.AssertEqual(half.to(float32), model.call(x.to(type)).to(float32));
        string[] keys = [.. model.state_dict().Keys];
        model.to(ScalarType.Float32);
        Assert.Equal(keys, model.state_dict().Keys);
        BitLinearTests.AssertClose(half.to(float32), model.call(x), relative: 0.05);   // bfloat16 has 8 bits
    }

    [Theory, MemberData(nameof(MovableModels))]
    public void A_model_can_be_moved_to_the_meta_device(string name)
    {
        using DisposeScope scope = NewDisposeScope();
        using nn.Module<Tensor, Tensor> model = Make(name);
        model.ConvertToBitLinear(Everything);
        model.to(META);
        Assert.All(model.parameters(), p => Assert.Equal(DeviceType.META, p.device_type));
        // Nothing can be computed there, but nothing is lost either.
        Assert.Equal(DeviceType.META, model.state_dict().Values.Select(value => value.device_type).Distinct().Single());
    }

    [Theory, MemberData(nameof(ModelsWithLayers))]
    public void Nothing_is_left_of_a_disposed_model(string name)
    {
        int parameterCount = 0;
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Use(times: 1);
        long bytes = BitLabRuntime.WeightBytesHeld, tensors = Tensor.TotalCount;
        Use(times: 1);
        long once = Tensor.TotalCount - tensors;
        tensors = Tensor.TotalCount;
        Use(times: 3);
        Assert.Equal(bytes, BitLabRuntime.WeightBytesHeld);
        // What is counted too often, TorchSharp's each new Parameter, is so however often the model is used.
        Assert.Equal(once, Tensor.TotalCount - tensors);
        Assert.InRange(once, 0, 3 * parameterCount);

        void Use(int times)
        {
            nn.Module<Tensor, Tensor> model = Make(name);
            parameterCount = model.parameters().Count();
            using Tensor x = Input(name);
            for (int i = 0; i < times; i++)
            {
                model.train();
                ConversionReport report = model.ConvertToBitLinear(Everything);
                model.call(x).Dispose();
                model.eval();
                model.call(x).Dispose();
                report.Undo();
            }
            model.ConvertToBitLinear(Everything);
            for (int i = 0; i < times; i++)
                model.call(x).Dispose();
            model.Deploy();
            for (int i = 0; i < times; i++)
                model.call(x).Dispose();
            model.Dispose();
        }
    }

    [Fact]
    public void A_model_converted_in_a_scope_outlives_it()
    {
        nn.Module<Tensor, Tensor> model;
        using (NewDisposeScope())
        {
            model = Make("language model");
            model.ConvertToBitLinear(Everything with { SubLN = true });
        }
        using Tensor y = model.call(Input("language model"));
        Assert.Equal(50, y.size(-1));
        model.Dispose();
    }

    private static void AssertSame(IEnumerable<nn.Module> expected, IEnumerable<nn.Module> actual) =>
        Assert.True(expected.SequenceEqual(actual, ReferenceEqualityComparer.Instance));

    internal static nn.Module<Tensor, Tensor> Make(string name, int seed = 1)
    {
        random.manual_seed(seed);
        return name switch
        {
            "sequential" => nn.Sequential(
                ("in", nn.Linear(20, 30)), ("act", nn.ReLU()), ("sub", nn.Sequential(nn.Linear(30, 30), nn.ReLU())), ("out", nn.Linear(30, 6))),
            "mixture" => new Mixture(),
            "language model" => new TinyLanguageModel(),
            "convolutions" => new ConvNet(),
            "conv2d" => nn.Conv2d(2, 6, 3, padding: 1, stride: 2),
            _ => nn.Linear(20, 6),
        };
    }

    internal static Tensor Input(string name)
    {
        random.manual_seed(7);
        return name switch
        {
            "mixture" => randn(3, 24),
            "language model" => randint(0, 50, [2, 8]),
            "convolutions" or "conv2d" => randn(2, 2, 15, 13),
            _ => randn(3, 20),
        };
    }

    // What the model gives where each Linear multiplies what the fake quantizers make of its input and its weights.
    private static Tensor FakeQuantized(nn.Module<Tensor, Tensor> model, Tensor x)
    {
        var removers = new List<Action>();
        foreach (nn.Module module in model.modules().Append(model).Distinct())
        {
            if (module is not (Linear or Convolution))
                continue;
            var layer = (nn.Module<Tensor, Tensor>)module;
            var hook = layer.register_forward_hook((_, input, _) => Multiply(layer, input));
            removers.Add(hook.remove);
        }
        Tensor result = model.call(x).detach();
        removers.ForEach(remove => remove());
        return result;

        static Tensor Multiply(nn.Module<Tensor, Tensor> layer, Tensor input)
        {
            Tensor w = StraightThrough.Weights(layer.get_parameter("weight")!, BitQuantConfig.Default.WeightGranularity);
            Tensor? b = layer.get_parameter("bias");
            // An image is a token of a convolution.
            Tensor q = StraightThrough.Activations(layer is Linear ? input : input.flatten(1), BitQuantConfig.Default).reshape(input.shape);
            return layer switch
            {
                Conv1d c => nn.functional.conv1d(q, w, b, c.stride[0], c.padding![0], c.dilation[0], c.groups),
                Conv2d c => nn.functional.conv2d(q, w, b, c.stride, c.padding!, c.dilation, c.groups),
                _ => nn.functional.linear(q, w, b),
            };
        }
    }
}
