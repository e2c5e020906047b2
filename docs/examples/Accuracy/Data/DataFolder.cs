namespace Accuracy.Data;

/// <summary>Where data sets are looked for: as Debian's packages install them, or below a folder that was given.</summary>
/// <param name="Root">/ or a folder that holds the same files: at the same paths, or all side by side.</param>
internal sealed record DataFolder(string Root)
{
    /// <summary>The path of a file of a Debian package.</summary>
    /// <param name="package">The package that installs it.</param>
    /// <param name="path">Its path, without the first slash.</param>
    /// <exception cref="FileNotFoundException">It is not there; the message says how to get it.</exception>
    public string Find(string package, string path)
    {
        string installed = Path.Combine(Root, path), flat = Path.Combine(Root, Path.GetFileName(path));
        return File.Exists(installed) ? installed
            : File.Exists(flat) ? flat
            : throw new FileNotFoundException(
                $"{installed} is missing. On Debian and Ubuntu:\n"
                + $"  sudo apt-get install -y --no-install-recommends {package}\n"
                + "Elsewhere, unpack that package and name the folder: --data DIR.");
    }
}
