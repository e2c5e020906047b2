using System.ClientModel;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using BitLab.Cli.Serving;
using BitLab.Inference;
using BitLab.Inference.Tests;
using Microsoft.AspNetCore.Builder;
using OpenAI;
using OpenAI.Chat;

namespace BitLab.Cli.Tests;

public sealed class ServerTests : IClassFixture<ModelFolder>, IAsyncLifetime
{
    private readonly TextGenerator generator;
    private readonly HttpClient http = new();
    private WebApplication? server;

    public ServerTests(ModelFolder folder) =>
        generator = TextGenerator.Load(folder.Model, new TextGeneratorOptions { MaxSequences = 4, ReusesPrefixes = true });

    public Task InitializeAsync() => Start(new ServerOptions { ModelName = "tiny" });

    public async Task DisposeAsync()
    {
        await server!.DisposeAsync();
        http.Dispose();
        generator.Dispose();
    }

    [Fact]
    public async Task A_curl_shaped_request_is_answered()
    {
        string answer = await Raw(Post("/v1/completions", """{"model":"tiny","prompt":"hello","max_tokens":5,"temperature":0}"""));
        Assert.StartsWith("HTTP/1.1 200 OK\r\n", answer);
        using JsonDocument body = Body(answer);
        GenerationResult expected = await generator.GenerateAsync("hello", new GenerationOptions { MaxTokens = 5 });
        JsonElement choice = body.RootElement.GetProperty("choices")[0];
        Assert.Equal(expected.Text, choice.GetProperty("text").GetString());
        Assert.Equal("length", choice.GetProperty("finish_reason").GetString());
        Assert.Equal("text_completion", body.RootElement.GetProperty("object").GetString());
        Assert.Equal(2, body.RootElement.GetProperty("usage").GetProperty("prompt_tokens").GetInt32());
        Assert.Equal(7, body.RootElement.GetProperty("usage").GetProperty("total_tokens").GetInt32());
    }

    [Fact]
    public async Task Tokens_lists_and_stop_texts_are_taken()
    {
        GenerationResult whole = await generator.GenerateAsync("hello", new GenerationOptions { MaxTokens = 8 });
        string stop = JsonSerializer.Serialize(whole.Text[2..4]);
        string byTokens = JsonSerializer.Serialize(generator.Tokenizer.Encode("hello"));
        foreach (string prompt in new[] { "\"hello\"", "[\"hello\"]", byTokens })
        {
            using JsonDocument body = Body(await Raw(Post("/v1/completions", $$"""{"prompt":{{prompt}},"max_tokens":8,"temperature":0,"stop":{{stop}}}""")));
            JsonElement choice = body.RootElement.GetProperty("choices")[0];
            Assert.Equal(whole.Text[..whole.Text.IndexOf(whole.Text[2..4], StringComparison.Ordinal)], choice.GetProperty("text").GetString());
            Assert.Equal("stop", choice.GetProperty("finish_reason").GetString());
        }
    }

    [Fact]
    public async Task Events_add_up_to_the_whole_answer()
    {
        const string Request = """{"messages":[{"role":"user","content":[{"type":"text","text":"hello"}]}],"max_tokens":9,"temperature":0""";
        using JsonDocument whole = Body(await Raw(Post("/v1/chat/completions", Request + "}")));
        string expected = whole.RootElement.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString()!;
        using HttpResponseMessage response = await http.PostAsync(
            Url("/v1/chat/completions"), Json(Request + ""","stream":true,"stream_options":{"include_usage":true}}"""));
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
        string[] events = (await response.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.All(events, line => Assert.StartsWith("data: ", line));
        Assert.Equal("data: [DONE]", events[^1]);
        JsonElement[] chunks = [.. events[..^1].Select(line => JsonDocument.Parse(line[6..]).RootElement)];
        Assert.All(chunks, chunk => Assert.Equal("chat.completion.chunk", chunk.GetProperty("object").GetString()));
        Assert.Equal("assistant", chunks[0].GetProperty("choices")[0].GetProperty("delta").GetProperty("role").GetString());
        JsonElement[] deltas = [.. chunks[..^1].Select(chunk => chunk.GetProperty("choices")[0])];
        Assert.Equal(expected, string.Concat(deltas.Select(choice => choice.GetProperty("delta").GetProperty("content").GetString())));
        Assert.All(deltas[..^1], choice => Assert.Equal(JsonValueKind.Null, choice.GetProperty("finish_reason").ValueKind));
        Assert.Equal("length", deltas[^1].GetProperty("finish_reason").GetString());
        Assert.Equal(9, chunks[^1].GetProperty("usage").GetProperty("completion_tokens").GetInt32());
    }

    [Fact]
    public async Task The_public_OpenAI_client_talks_to_it()
    {
        var client = new ChatClient(
            "tiny", new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(Url("/v1")) });
        var options = new ChatCompletionOptions { MaxOutputTokenCount = 6, Temperature = 0 };
        ChatCompletion answer = await client.CompleteChatAsync([new SystemChatMessage("be brief"), new UserChatMessage("hello")], options);
        Assert.Equal(6, answer.Usage.OutputTokenCount);
        Assert.Equal(ChatFinishReason.Length, answer.FinishReason);
        var streamed = new StringBuilder();
        await foreach (StreamingChatCompletionUpdate update in client.CompleteChatStreamingAsync([new SystemChatMessage("be brief"), new UserChatMessage("hello")], options))
        {
            foreach (ChatMessageContentPart part in update.ContentUpdate)
                streamed.Append(part.Text);
        }
        Assert.Equal(answer.Content[0].Text, streamed.ToString());
    }

    [Theory]
    [InlineData(400, """{"prompt":5}""", "prompt is neither")]
    [InlineData(400, """{}""", "no prompt")]
    [InlineData(400, """{"prompt":""", "not the JSON")]
    [InlineData(400, """{"prompt":"a","max_tokens":0}""", "at least 1")]
    [InlineData(400, """{"prompt":"a","temperature":-1}""", "0 or more")]
    [InlineData(400, """{"prompt":"a","n":3}""", "n is 3")]
    [InlineData(400, """{"prompt":"a","max_tokens":"x"}""", "not the JSON")]
    [InlineData(400, """{"prompt":[1,999999]}""", "outside the vocabulary")]
    [InlineData(400, """{"prompt":"{long}"}""", "a text has at most 256")]
    public async Task Bad_requests_get_an_error_with_the_reason(int status, string request, string reason)
    {
        string answer = await Raw(Post("/v1/completions", request.Replace("{long}", new string('q', 400))));
        Assert.StartsWith($"HTTP/1.1 {status} ", answer);
        using JsonDocument body = Body(answer);
        Assert.Contains(reason, body.RootElement.GetProperty("error").GetProperty("message").GetString());
    }

    [Fact]
    public async Task Too_long_a_request_is_refused_before_it_is_read()
    {
        await Start(new ServerOptions { MaxRequestBytes = 1000 });
        using HttpResponseMessage response = await http.PostAsync(Url("/v1/completions"), Json($$"""{"prompt":"{{new string('x', 5000)}}"}"""));
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, response.StatusCode);
        Assert.Contains("more than 1000 bytes", await response.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task A_full_queue_says_429_and_empties_again()
    {
        await Start(new ServerOptions { MaxWaiting = 2 });
        const string Long = """{"prompt":"a","max_tokens":240,"temperature":1,"seed":1}""";
        Task<HttpResponseMessage>[] requests = [.. Enumerable.Range(0, 24).Select(_ => http.PostAsync(Url("/v1/completions"), Json(Long)))];
        HttpResponseMessage[] answers = await Task.WhenAll(requests);
        HttpResponseMessage[] refused = [.. answers.Where(answer => answer.StatusCode == HttpStatusCode.TooManyRequests)];
        Assert.NotEmpty(refused);
        Assert.All(refused, answer => Assert.Equal("1", answer.Headers.RetryAfter!.ToString()));
        Assert.True(answers.Count(answer => answer.StatusCode == HttpStatusCode.OK) >= 6);
        Assert.Equal(24, answers.Count(answer => answer.StatusCode is HttpStatusCode.OK or HttpStatusCode.TooManyRequests));
        using HttpResponseMessage after = await http.PostAsync(Url("/v1/completions"), Json(Long));
        Assert.Equal(HttpStatusCode.OK, after.StatusCode);
    }

    [Fact]
    public async Task Many_clients_that_come_and_go_lose_nothing_and_leak_nothing()
    {
        string[] prompts = [.. Enumerable.Range(0, 8).Select(i => $"hello {i}")];
        var expected = new Dictionary<string, string>();
        foreach (string prompt in prompts)
            expected[prompt] = (await generator.GenerateAsync(prompt, new GenerationOptions { MaxTokens = 24 })).Text;
        long held = Core.BitLabRuntime.WeightBytesHeld;
        await Task.WhenAll(Enumerable.Range(0, 64).Select(async client =>
        {
            string prompt = prompts[client % prompts.Length];
            string request = $$"""{"prompt":"{{prompt}}","max_tokens":24,"temperature":0,"stream":true}""";
            if (client % 4 == 3)
            {
                await Leave(request, afterBytes: 40 * (client % 16));
                return;
            }
            using HttpResponseMessage response = await http.PostAsync(Url("/v1/completions"), Json(request));
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            string[] events = (await response.Content.ReadAsStringAsync()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
            string text = string.Concat(events[..^1].Select(line => JsonDocument.Parse(line[6..]).RootElement.GetProperty("choices")[0].GetProperty("text").GetString()));
            Assert.Equal(expected[prompt], text);
        }));
        for (int i = 0; i < 200 && (generator.Statistics.Active > 0 || generator.Statistics.Waiting > 0); i++)
            await Task.Delay(50);
        Assert.Equal((0, 0), (generator.Statistics.Active, generator.Statistics.Waiting));
        Assert.Equal(held, Core.BitLabRuntime.WeightBytesHeld);
        Assert.Equal(expected[prompts[0]], (await generator.GenerateAsync(prompts[0], new GenerationOptions { MaxTokens = 24 })).Text);
    }

    [Fact]
    public async Task Models_health_and_metrics_tell_what_there_is()
    {
        (await http.PostAsync(Url("/v1/completions"), Json("""{"prompt":"hello","max_tokens":3,"temperature":0}"""))).Dispose();
        Assert.Contains("\"id\":\"tiny\"", await http.GetStringAsync(Url("/v1/models")));
        Assert.Contains("\"status\":\"ok\"", await http.GetStringAsync(Url("/health")));
        Dictionary<string, double> metrics = (await http.GetStringAsync(Url("/metrics"))).Split('\n')
            .Where(line => line.Length > 0 && line[0] != '#')
            .ToDictionary(line => line[..line.LastIndexOf(' ')], line => double.Parse(line[line.LastIndexOf(' ')..], System.Globalization.CultureInfo.InvariantCulture));
        Assert.Equal(1, metrics["bitlab_requests_total{path=\"/v1/completions\",status=\"200\"}"]);
        Assert.Equal(3, metrics["bitlab_completion_tokens_total"]);
        Assert.Equal(0, metrics["bitlab_texts_active"]);
    }

    [Fact]
    public void It_listens_to_this_machine_alone() => Assert.All(server!.Urls, url => Assert.StartsWith("http://127.0.0.1:", url));

    private async Task Start(ServerOptions options)
    {
        if (server is not null)
            await server.DisposeAsync();
        server = ModelServer.Create(generator, options);
        await server.StartAsync();
    }

    private string Url(string path) => server!.Urls.First() + path;

    private static StringContent Json(string text) => new(text, Encoding.UTF8, "application/json");

    private static string Post(string path, string body) =>
        $"POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        + $"Content-Length: {Encoding.UTF8.GetByteCount(body)}\r\nConnection: close\r\n\r\n{body}";

    private async Task<string> Raw(string request)
    {
        using TcpClient client = await Connect(request);
        using var reader = new StreamReader(client.GetStream(), Encoding.UTF8);
        return await reader.ReadToEndAsync();
    }

    // Reads some bytes of the answer, and is gone.
    private async Task Leave(string request, int afterBytes)
    {
        using TcpClient client = await Connect(Post("/v1/completions", request));
        client.LingerState = new LingerOption(true, 0);
        byte[] some = new byte[Math.Max(1, afterBytes)];
        await client.GetStream().ReadAtLeastAsync(some, some.Length, throwOnEndOfStream: false);
    }

    private async Task<TcpClient> Connect(string request)
    {
        var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, new Uri(server!.Urls.First()).Port);
        await client.GetStream().WriteAsync(Encoding.UTF8.GetBytes(request));
        return client;
    }

    // The body may come in chunks, each with its length before it.
    private static JsonDocument Body(string answer)
    {
        string body = answer[(answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];
        return JsonDocument.Parse(body[body.IndexOf('{')..(body.LastIndexOf('}') + 1)]);
    }
}
