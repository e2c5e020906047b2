using BitLab.Core;

namespace BitLab.Inference.Tests;

public sealed class TextGeneratorTests : IDisposable
{
    private readonly TinyModel model = new(
        TinyModel.BitNet with { VocabSize = TinyVocabulary.Size, BosTokenId = TinyVocabulary.Begin, EosTokenIds = [TinyVocabulary.End] });

    private readonly BitNetTokenizer tokenizer;

    public TextGeneratorTests()
    {
        TinyVocabulary.WriteTo(model.Folder);
        tokenizer = BitNetTokenizer.Load(model.Folder);
    }

    public void Dispose() => model.Dispose();

    [Fact]
    public async Task Generation_with_cached_keys_is_generation_that_computes_everything_anew()
    {
        using var generator = new TextGenerator(model.Runner, tokenizer);
        List<GeneratedText> pieces = await Stream(generator, "hello world", new GenerationOptions { MaxTokens = 40, IgnoreEndOfText = true });
        var tokens = new List<int>(tokenizer.Encode("hello world"));
        foreach (GeneratedText piece in pieces)
        {
            int greedy = Array.IndexOf(TinyModel.AllLogits(model.Runner, [.. tokens])[^1], TinyModel.AllLogits(model.Runner, [.. tokens])[^1].Max());
            Assert.Equal(greedy, piece.Token);
            tokens.Add(greedy);
        }
        Assert.Equal(40, pieces.Count);
        Assert.Equal((3, 40, FinishReason.Length), (pieces[^1].PromptTokens, pieces[^1].CompletionTokens, pieces[^1].Finish));
        Assert.All(pieces.SkipLast(1), piece => Assert.Null(piece.Finish));
        Assert.Equal(tokenizer.Decode(tokens.Skip(3)), string.Concat(pieces.Select(piece => piece.Text)));
    }

    [Fact]
    public async Task Texts_at_the_same_time_are_those_of_each_alone()
    {
        using var generator = new TextGenerator(model.Runner, tokenizer, new TextGeneratorOptions { MaxSequences = 3, StepTokens = 7 });
        GenerationOptions[] options =
        [
            .. Enumerable.Range(0, 9).Select(i => new GenerationOptions { MaxTokens = 5 + (5 * i), Temperature = i % 2, Seed = i, TopP = 0.9f }),
        ];
        string[] prompts = [.. options.Select((_, i) => string.Concat(Enumerable.Repeat($"the {i} ", 1 + i)))];
        var alone = new List<GenerationResult>();
        for (int i = 0; i < prompts.Length; i++)
        {
            using var single = new TextGenerator(model.Runner, tokenizer);
            alone.Add(await single.GenerateAsync(prompts[i], options[i]));
        }
        GenerationResult[] together = await Task.WhenAll(prompts.Select((prompt, i) => Task.Run(() => generator.GenerateAsync(prompt, options[i]))));
        Assert.Equal(alone, together);
        GeneratorStatistics statistics = generator.Statistics;
        Assert.Equal((0, together.Sum(text => text.CompletionTokens)), (statistics.Waiting, (int)statistics.CompletionTokens));
    }

    [Fact]
    public async Task A_question_that_begins_as_the_last_one_computes_only_what_is_new()
    {
        using var generator = new TextGenerator(model.Runner, tokenizer);
        var options = new GenerationOptions { MaxTokens = 4, IgnoreEndOfText = true };
        await generator.GenerateAsync("hello world hello", options);
        long first = generator.Statistics.PromptTokens;
        GenerationResult again = await generator.GenerateAsync("hello world hello the", options);
        int added = tokenizer.Encode("hello world hello the").Count - tokenizer.Encode("hello world hello").Count;
        Assert.Equal(added, generator.Statistics.PromptTokens - first);
        using var fresh = new TextGenerator(model.Runner, tokenizer, new TextGeneratorOptions { ReusesPrefixes = false });
        await fresh.GenerateAsync("hello world hello", options);
        Assert.Equal(await fresh.GenerateAsync("hello world hello the", options), again);
        Assert.Equal(first + tokenizer.Encode("hello world hello the").Count, fresh.Statistics.PromptTokens);
    }

    [Fact]
    public async Task A_text_ends_where_the_model_says()
    {
        using var generator = new TextGenerator(model.Runner, tokenizer);
        List<GeneratedText> pieces = await Stream(generator, "hello", new GenerationOptions { MaxTokens = 10, IgnoreEndOfText = true });
        int sixth = pieces[5].Token!.Value, firstOfIt = pieces.FindIndex(piece => piece.Token == sixth);
        List<GeneratedText> stopped = await Stream(generator, "hello", new GenerationOptions { MaxTokens = 10, StopTokens = [sixth], IgnoreEndOfText = true });
        Assert.Equal((FinishReason.EndOfText, firstOfIt + 1), (stopped[^1].Finish, stopped.Count));
        Assert.Equal(string.Concat(pieces.Take(firstOfIt).Select(piece => piece.Text)), string.Concat(stopped.Select(piece => piece.Text)).TrimEnd('\uFFFD'));
    }

    [Fact]
    public async Task A_stop_string_ends_a_text_before_it()
    {
        using var generator = new TextGenerator(model.Runner, tokenizer);
        var options = new GenerationOptions { MaxTokens = 60, IgnoreEndOfText = true };
        string whole = (await generator.GenerateAsync("the", options)).Text;
        string stop = whole.Substring(whole.Length / 2, 3);
        GenerationResult got = await generator.GenerateAsync("the", options with { StopStrings = [stop, "never there"] });
        Assert.Equal((FinishReason.StopString, whole[..whole.IndexOf(stop, StringComparison.Ordinal)]), (got.Finish, got.Text));
    }

    [Fact]
    public async Task The_room_of_a_sequence_ends_a_text()
    {
        using var generator = new TextGenerator(model.Runner, tokenizer, new TextGeneratorOptions { ContextTokens = 12 });
        GenerationResult got = await generator.GenerateAsync("hello", new GenerationOptions { IgnoreEndOfText = true });
        Assert.Equal((FinishReason.Length, 12), (got.Finish, got.PromptTokens + got.CompletionTokens));
        Assert.Contains("12", Assert.Throws<ArgumentException>(() => generator.StreamAsync(new int[12])).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => generator.StreamAsync(Array.Empty<int>()));
        Assert.Throws<ArgumentException>(() => generator.StreamAsync([TinyVocabulary.Size]));
    }

    [Fact]
    public async Task Canceling_ends_one_text_and_no_other()
    {
        using var generator = new TextGenerator(model.Runner, tokenizer, new TextGeneratorOptions { MaxSequences = 2 });
        var options = new GenerationOptions { MaxTokens = 80, IgnoreEndOfText = true };
        GenerationResult expected = await generator.GenerateAsync("the", options);
        using var source = new CancellationTokenSource();
        Task<GenerationResult> other = generator.GenerateAsync("the", options);
        int seen = 0;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (GeneratedText piece in generator.StreamAsync("hello", options, source.Token))
            {
                if (++seen == 3)
                    await source.CancelAsync();
            }
        });
        Assert.InRange(seen, 3, 79);
        Assert.Equal(expected, await other);
        // Leaving the loop frees the text's place, too.
        await foreach (GeneratedText piece in generator.StreamAsync("hello", options))
            break;
        await generator.GenerateAsync("the", options);
        for (int i = 0; i < 500 && generator.Statistics.Active > 0; i++)
            await Task.Delay(10);
        Assert.Equal(0, generator.Statistics.Active);
    }

    [Fact]
    public async Task Disposing_ends_what_is_in_work()
    {
        var generator = new TextGenerator(model.Runner, tokenizer, new TextGeneratorOptions { MaxSequences = 1 });
        Task<GenerationResult>[] texts =
            [.. Enumerable.Range(0, 3).Select(_ => generator.GenerateAsync("the", new GenerationOptions { MaxTokens = 90, IgnoreEndOfText = true }))];
        generator.Dispose();
        foreach (Task<GenerationResult> text in texts)
            await Assert.ThrowsAsync<ObjectDisposedException>(() => text);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => generator.GenerateAsync("the"));
    }

    [Fact]
    public async Task A_step_has_room_for_all_texts()
    {
        Assert.Throws<ArgumentException>(() => new TextGenerator(model.Runner, tokenizer, new TextGeneratorOptions { MaxSequences = 9, StepTokens = 8 }));
        using TextGenerator loaded = TextGenerator.Load(model.Folder);
        Assert.Equal(1, (await loaded.GenerateAsync("the", new GenerationOptions { MaxTokens = 1 })).CompletionTokens);
    }

    private static async Task<List<GeneratedText>> Stream(TextGenerator generator, string prompt, GenerationOptions options)
    {
        var pieces = new List<GeneratedText>();
        await foreach (GeneratedText piece in generator.StreamAsync(prompt, options))
            pieces.Add(piece);
        return pieces;
    }
}
