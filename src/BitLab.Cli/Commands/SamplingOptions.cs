using System.CommandLine;
using BitLab.Inference;

namespace BitLab.Cli.Commands;

/// <summary>How texts are generated, as options of a command.</summary>
internal sealed class SamplingOptions
{
    private readonly Option<int> maxTokens = new("--max-tokens", "-n") { Description = "The most tokens to generate.", DefaultValueFactory = _ => 256 };
    private readonly Option<float> temperature = new("--temperature") { Description = "0: always the likeliest token.", DefaultValueFactory = _ => 0 };
    private readonly Option<int> topK = new("--top-k") { Description = "Draw among so many of the likeliest tokens; 0: all.", DefaultValueFactory = _ => 0 };
    private readonly Option<float> topP = new("--top-p") { Description = "Draw among the likeliest tokens of so much probability.", DefaultValueFactory = _ => 1 };
    private readonly Option<float> minP = new("--min-p") { Description = "Draw among tokens at least this times as likely as the likeliest.", DefaultValueFactory = _ => 0 };
    private readonly Option<float> penalty = new("--repetition-penalty") { Description = "Above 1: tokens that were there come less.", DefaultValueFactory = _ => 1 };
    private readonly Option<long?> seed = new("--seed") { Description = "Where the random numbers begin; absent: elsewhere each time." };
    private readonly Option<string[]> stop = new("--stop") { Description = "A text that ends the generation; may come several times.", AllowMultipleArgumentsPerToken = false };

    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { maxTokens, temperature, topK, topP, minP, penalty, seed, stop })
            command.Options.Add(option);
    }

    public GenerationOptions Of(ParseResult parsed) => new()
    {
        MaxTokens = parsed.GetValue(maxTokens),
        Temperature = parsed.GetValue(temperature),
        TopK = parsed.GetValue(topK),
        TopP = parsed.GetValue(topP),
        MinP = parsed.GetValue(minP),
        RepetitionPenalty = parsed.GetValue(penalty),
        Seed = parsed.GetValue(seed),
        StopStrings = parsed.GetValue(stop) ?? [],
    };
}
