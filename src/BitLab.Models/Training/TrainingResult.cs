namespace BitLab.Models;

/// <summary>Why a training ended.</summary>
public enum TrainingEnd
{
    /// <summary>All steps are done.</summary>
    Completed,

    /// <summary>No evaluation was better for too long (<see cref="BitTrainerOptions.Patience"/>).</summary>
    StoppedEarly,

    /// <summary>It was cancelled, and can go on.</summary>
    Cancelled,
}

/// <summary>What came of a training.</summary>
/// <param name="End">Why it ended.</param>
/// <param name="Steps">Steps that are done.</param>
/// <param name="Loss">The loss of the last step.</param>
/// <param name="Best">The best evaluation, or null where there was none.</param>
/// <param name="BestStep">After how many steps that was; 0 where there was none.</param>
public sealed record TrainingResult(TrainingEnd End, long Steps, double Loss, Evaluation? Best, long BestStep);
