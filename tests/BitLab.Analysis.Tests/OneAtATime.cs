// Tests draw from LibTorch's one random generator and seed it.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
