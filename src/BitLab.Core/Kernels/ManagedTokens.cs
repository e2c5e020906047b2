namespace BitLab.Core;

/// <summary>A number of tokens as a type, so that the compiler makes a microkernel for each number from one text.</summary>
internal interface IManagedTokens
{
    static abstract int Count { get; }
}

/// <summary>The numbers.</summary>
internal static class ManagedTokens
{
    public readonly struct One : IManagedTokens
    {
        public static int Count => 1;
    }

    public readonly struct Two : IManagedTokens
    {
        public static int Count => 2;
    }

    public readonly struct Three : IManagedTokens
    {
        public static int Count => 3;
    }

    public readonly struct Four : IManagedTokens
    {
        public static int Count => 4;
    }

    public readonly struct Five : IManagedTokens
    {
        public static int Count => 5;
    }

    public readonly struct Six : IManagedTokens
    {
        public static int Count => 6;
    }

    public readonly struct Seven : IManagedTokens
    {
        public static int Count => 7;
    }

    public readonly struct Eight : IManagedTokens
    {
        public static int Count => 8;
    }
}
