#!/usr/bin/env pwsh
#Requires -Version 7.0

<#
.SYNOPSIS
Builds and tests BitLab: the same dotnet commands that anyone can type, in the order given.

.PARAMETER Command
build, test: the whole solution.
native: only the native library, where there is CMake and a C++ compiler.
pack: the NuGet packages, to artifacts/packages.
clean: the outputs of this configuration, through dotnet clean, and artifacts/.

.PARAMETER NoNative
Leaves the native library out; the managed kernels run instead.

.PARAMETER Configuration
Release or Debug.

.EXAMPLE
./build.ps1
Builds, then tests.

.EXAMPLE
./build.ps1 clean, build, test -NoNative
Starts anew, without native code.
#>
[CmdletBinding(PositionalBinding = $false)]
param(
    [Parameter(Position = 0, ValueFromRemainingArguments)]
    [ValidateSet('build', 'test', 'native', 'pack', 'clean')]
    [string[]] $Command = @('build', 'test'),

    [switch] $NoNative,

    [ValidateSet('Release', 'Debug')]
    [string] $Configuration = 'Release'
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $false   # a caller's $true would turn the exit code into an exception

$calls = @{
    build  = 'build', 'BitLab.sln'
    test   = 'test', 'BitLab.sln'
    native = 'build', 'src/BitLab.Core', '-t:CompileNativeLibrary'
    pack   = 'pack', 'BitLab.sln', '-o', 'artifacts/packages'
    clean  = 'clean', 'BitLab.sln'
}
$options = @('-c', $Configuration) + @($NoNative ? '-p:BuildNative=false' : @())

Push-Location $PSScriptRoot   # global.json is looked for from here
try {
    foreach ($name in $Command) {
        $arguments = $calls[$name] + $options
        dotnet @arguments
        if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
        if ($name -eq 'clean' -and (Test-Path artifacts)) { Remove-Item artifacts -Recurse -Force }
    }
}
finally { Pop-Location }
