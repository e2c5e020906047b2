// What a model holds is counted for the whole process.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
