namespace BitLab.Analysis;

/// <summary>A layer that was converted without being calibrated.</summary>
/// <param name="Name">Its path in the model.</param>
/// <param name="Why">Why.</param>
public sealed record UncalibratedLayer(string Name, string Why);
