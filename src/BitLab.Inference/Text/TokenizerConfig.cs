using System.Text.Json;
using BitLab.Core;

namespace BitLab.Inference;

/// <summary>What Hugging Face's tokenizer_config.json says beside a vocabulary.</summary>
internal static class TokenizerConfig
{
    /// <returns>Whether a text begins with a token, which one, and the chat template; each null where the folder says
    /// nothing.</returns>
    public static (bool? AddsBegin, string? Begin, string? ChatTemplate) Read(string folder)
    {
        string path = Path.Combine(folder, "tokenizer_config.json"), jinja = Path.Combine(folder, "chat_template.jinja");
        string? template = File.Exists(jinja) ? File.ReadAllText(jinja) : null;
        return File.Exists(path) ? JsonFile.Read(path, root => Read(root, template)) : (null, null, template);
    }

    private static (bool? AddsBegin, string? Begin, string? ChatTemplate) Read(JsonElement root, string? template)
    {
        bool? adds = null;
        string? begin = null;
        foreach (JsonProperty field in root.EnumerateObject())
        {
            switch (field.Name)
            {
                case "add_bos_token" when field.Value.ValueKind is JsonValueKind.True or JsonValueKind.False:
                    adds = field.Value.GetBoolean();
                    break;
                case "bos_token":
                    begin = Content(field.Value);
                    break;
                case "chat_template":
                    template ??= TemplateOf(field.Value);
                    break;
            }
        }
        return (adds, begin, template);
    }

    // A token is written as its content, or as an object that has it.
    private static string? Content(JsonElement token) => token.ValueKind switch
    {
        JsonValueKind.String => token.GetString(),
        JsonValueKind.Object when token.TryGetProperty("content", out JsonElement content) && content.ValueKind == JsonValueKind.String =>
            content.GetString(),
        _ => null,
    };

    // One template, or several by name.
    private static string? TemplateOf(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.String)
            return value.GetString();
        if (value.ValueKind != JsonValueKind.Array)
            return null;
        foreach (JsonElement named in value.EnumerateArray())
        {
            if (named.ValueKind == JsonValueKind.Object && named.TryGetProperty("name", out JsonElement name)
                && name.ValueKind == JsonValueKind.String && name.GetString() == "default"
                && named.TryGetProperty("template", out JsonElement template) && template.ValueKind == JsonValueKind.String)
                return template.GetString();
        }
        return null;
    }
}
