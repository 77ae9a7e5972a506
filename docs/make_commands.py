"""Writes docs/commands.md from the parsers of the commands: ``python docs/make_commands.py``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fg3d_builder.cli import COMMANDS

PAGE = Path(__file__).with_name("commands.md")

HEAD = """\
# All commands

Made by `docs/make_commands.py` from the parsers of the commands; do not edit it.
`fg3d COMMAND --help` says the same. Commands end with status 0; 1 where the result is bad; 2 where
the command cannot be run, with one sentence about it; 130 after Ctrl-C.
"""


class Commands(argparse._SubParsersAction):  # type: ignore[type-arg]
    """Commands, and the line that the list of them has for each."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.about: dict[str, str] = {}

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        """Add a command."""
        self.about[name] = options["help"]
        return super().add_parser(name, **options)


def parsers() -> Commands:
    """Return the commands as the program has them."""
    commands = argparse.ArgumentParser(prog="fg3d").add_subparsers(action=Commands)
    for module in COMMANDS:
        module.add_parser(commands)
    return commands


def page() -> str:
    """Return the whole page."""
    commands = parsers()
    found = [part for name in commands.choices for part in _command(name, commands, "##")]
    index = [
        f"| [`fg3d {name}`](#fg3d-{name}) | {_cell(commands.about[name])} |"
        for name in commands.choices
    ]
    return "\n".join([HEAD, "| command | |", "|---|---|", *index, "", *found])


def _command(
    name: str, among: argparse._SubParsersAction[argparse.ArgumentParser], level: str
) -> Iterator[str]:
    """Yield the lines of one command and those below it."""
    parser = among.choices[name]
    yield f"{level} {parser.prog}\n"
    yield described(parser.description or "")
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    options = [a for a in parser._actions if a.dest != "help" and a not in inner]
    if options:
        yield "| argument | what it is |\n|---|---|"
        for action in sorted(options, key=lambda a: bool(a.option_strings)):
            needed = " **Required.**" if action.option_strings and action.required else ""
            yield f"| {_written(action)} | {_cell(_help(parser, action))}{needed} |"
        yield ""
    for action in inner:
        for below in action.choices:
            yield from _command(below, action, level + "#")


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return an argument's help with its defaults filled in."""
    text = " ".join(((action.help or "") % {**vars(action), "prog": parser.prog}).split())
    if action.choices and not all(str(choice) in text for choice in action.choices):
        text += f" ({', '.join(f'`{choice}`' for choice in action.choices)})"
    return text


def _written(action: argparse.Action) -> str:
    """Return how an argument is typed."""
    value = ""
    if action.nargs != 0:
        metavar = action.metavar or action.dest.upper()
        names = metavar if isinstance(metavar, tuple) else (metavar,)
        value = " ".join(names)
        if isinstance(action.nargs, int) and len(names) == 1:
            value = " ".join(names * action.nargs)
        value = {"*": f"[{value} ...]", "+": f"{value} ...", "?": f"[{value}]"}.get(
            str(action.nargs), value
        )
    if not action.option_strings:
        return f"`{value}`"
    return ", ".join(f"`{' '.join([name, value]).strip()}`" for name in action.option_strings)


def described(text: str) -> str:
    """Return a description as Markdown: what is set in becomes a block of its own."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        # A paragraph may go over into lines that are set in.
        for inset, lines in _runs(paragraph.splitlines()):
            joined = "\n".join(lines)
            if not inset:
                parts.append(" ".join(line.strip() for line in lines).replace("<", "&lt;"))
            elif parts and parts[-1].endswith("\n```"):
                parts[-1] = f"{parts[-1].removesuffix('```')}\n{joined}\n```"
            else:
                parts.append(f"```text\n{joined}\n```")
    return "\n\n".join(parts) + "\n"


def _runs(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Yield neighbouring lines that are, or are not, set in; those without their margin."""
    start = 0
    for end in range(1, len(lines) + 1):
        inset = lines[start].startswith("  ")
        if end == len(lines) or lines[end].startswith("  ") != inset:
            yield inset, [line[2:] if inset else line for line in lines[start:end]]
            start = end


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
