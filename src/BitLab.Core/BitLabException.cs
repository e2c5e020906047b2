namespace BitLab.Core;

/// <summary>The base of the errors that BitLab itself defines.</summary>
/// <remarks>A caller's mistake is an <see cref="ArgumentException"/>, a damaged file an
/// <see cref="InvalidDataException"/>, as everywhere in .NET.</remarks>
public class BitLabException : Exception
{
    /// <summary>Creates the error.</summary>
    /// <param name="message">What went wrong, naming the thing.</param>
    public BitLabException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the error with its cause.</summary>
    /// <param name="message">What went wrong, naming the thing.</param>
    /// <param name="innerException">The cause.</param>
    public BitLabException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

/// <summary>Weights cannot be made ternary: they hold NaN or infinity.</summary>
/// <param name="message">What went wrong, naming the layer.</param>
public sealed class QuantizationException(string message) : BitLabException(message);

/// <summary>No kernel has the name asked for, or none serves the config on this machine.</summary>
/// <param name="message">What was asked for, and what there is.</param>
public sealed class KernelNotFoundException(string message) : BitLabException(message);
