using Accuracy.Networks;

namespace Accuracy.Results;

/// <summary>What a run is for.</summary>
internal enum Purpose
{
    /// <summary>To choose the learning rate: trained without the validation part, measured on it.</summary>
    Search,

    /// <summary>To be reported: measured on the test part.</summary>
    Final,
}

/// <summary>One training: the unit that is done once and kept.</summary>
/// <param name="Task">The name of the data set and network, with what else decides its result.</param>
/// <param name="Model">What is trained.</param>
/// <param name="Seed">Decides the split, where it is drawn, the first weights and the order.</param>
/// <param name="Purpose">What it is for.</param>
/// <param name="Rate">The learning rate.</param>
/// <param name="Steps">Steps of the optimizer.</param>
internal sealed record Cell(string Task, ModelKind Model, int Seed, Purpose Purpose, double Rate, int Steps);

/// <summary>What a training gave.</summary>
/// <param name="Cell">Which.</param>
/// <param name="Score">Accuracy as a fraction, or bits a character.</param>
/// <param name="Seconds">How long training and measuring took.</param>
internal sealed record Result(Cell Cell, double Score, double Seconds);
