"""Prints a script with which a shell completes commands, options, choices and names of files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from fg3d_builder.commands.arguments import (
    file_to_read,
    file_to_write,
    folder_to_read,
    folder_to_write,
    path_to_read,
)

DESCRIPTION = """\
Prints a script with which your shell completes commands, options, choices, files and folders.

  fg3d completion bash > ~/.local/share/bash-completion/completions/fg3d     then a new terminal
  fg3d completion zsh > ~/.zfunc/_fg3d       with ~/.zfunc in fpath before compinit in ~/.zshrc
  fg3d completion fish > ~/.config/fish/completions/fg3d.fish
  eval "$(fg3d completion bash)"             for this terminal alone

The folders have to be there (mkdir -p). The script starts no fg3d; print it again after an update.
"""

SHELLS = ("bash", "zsh", "fish")

_FOLDERS = (folder_to_read, folder_to_write)
_FILES = (Path, path_to_read, file_to_read, file_to_write)
"""Types of arguments that name a file, or either a file or a folder."""

_NAMED_FILES = ("FILE", "FOLDER", "DATASET")
"""In the names of arguments such as ``NAME=FOLDER``, whose types are their commands' own."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "completion",
        help="print a script for your shell to complete commands and options",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("shell", choices=SHELLS, help="your shell; `echo $SHELL` says which")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script; ``options.parser`` is the parser of all commands."""
    import shtab

    for parser in _all_parsers(options.parser):
        for action in parser._actions:
            names = _names_of(action)
            if names:
                action.complete = getattr(shtab, names)  # type: ignore[attr-defined]
    print(shtab.complete(options.parser, options.shell))
    return 0


def _all_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser, and those of its commands and their actions."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _all_parsers(inner)


def _names_of(action: argparse.Action) -> str:
    """Return shtab's word for what an argument names: files, folders, or neither."""
    if action.choices is not None:
        return ""
    if action.type in _FOLDERS:
        return "DIRECTORY"
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    named = any(word in metavar for word in _NAMED_FILES)
    return "FILE" if action.type in _FILES or named else ""
