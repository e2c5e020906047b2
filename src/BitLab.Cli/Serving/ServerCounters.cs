using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using BitLab.Inference;

namespace BitLab.Cli.Serving;

/// <summary>What a server counts, in the text form that Prometheus reads.</summary>
internal sealed class ServerCounters
{
    private readonly ConcurrentDictionary<(string Path, int Status), long> requests = new();
    private long cancelled;

    public void Count(string path, int status) => requests.AddOrUpdate((path, status), 1, (_, count) => count + 1);

    public void CountCancelled() => Interlocked.Increment(ref cancelled);

    public string Text(GeneratorStatistics statistics)
    {
        var text = new StringBuilder();
        Head("bitlab_requests_total", "counter", "Requests answered.");
        foreach (((string path, int status), long count) in requests.OrderBy(request => request.Key))
            text.Append(CultureInfo.InvariantCulture, $"bitlab_requests_total{{path=\"{path}\",status=\"{status}\"}} {count}\n");
        Single("bitlab_requests_cancelled_total", "counter", "Requests whose client went away.", Interlocked.Read(ref cancelled));
        Single("bitlab_texts_active", "gauge", "Texts in work.", statistics.Active);
        Single("bitlab_texts_waiting", "gauge", "Texts that wait.", statistics.Waiting);
        Single("bitlab_prompt_tokens_total", "counter", "Tokens of prompts computed.", statistics.PromptTokens);
        Single("bitlab_completion_tokens_total", "counter", "Tokens generated.", statistics.CompletionTokens);
        Single("bitlab_steps_total", "counter", "Steps of the model.", statistics.Steps);
        return text.ToString();

        void Head(string name, string type, string help) => text.Append($"# HELP {name} {help}\n# TYPE {name} {type}\n");

        void Single(string name, string type, string help, long value)
        {
            Head(name, type, help);
            text.Append(CultureInfo.InvariantCulture, $"{name} {value}\n");
        }
    }
}
