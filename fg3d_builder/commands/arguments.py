"""Types of arguments: a wrong value is refused in a sentence, before anything is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from fg3d_builder.config.constraints import Within
from fg3d_builder.config.reading import nearest
from fg3d_builder.errors import printable, sentence

MOST_WORKERS = 1024


class OneLineParser(argparse.ArgumentParser):
    """A parser that refuses a command line in one line, and names the help.

    Of a word that is misspelt it says which one it may stand for, and not all that there are.
    """

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        known = [] if action.choices is None else [str(choice) for choice in action.choices]
        near = nearest(str(value), known) if value not in (action.choices or (value,)) else ""
        if near:
            raise argparse.ArgumentError(action, f"{value!r}: did you mean {near}?")
        super()._check_value(action, value)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with status 2."""
        self.exit(2, f"{self.prog}: {printable(message)}; see {self.prog} --help\n")


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return the type of whole numbers from `low` to `high`."""
    allowed = Within(low, high)

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not allowed.allows(value):
            raise _refused(text, f"a whole number {allowed.allowed}")
        return value

    return read


def number(low: float, high: float, above: bool = False) -> Callable[[str], float]:
    """Return the type of finite numbers from `low` to `high`; see `Within`."""
    allowed = Within(low, high, above)

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not allowed.allows(value):
            raise _refused(text, f"a number {allowed.allowed}")
        return value

    return read


def folder_to_write(text: str) -> Path:
    """Take the name of a folder that is there or will be made."""
    path = _path(text)
    for folder in (path, *path.parents):
        if _is(folder.exists):
            if not _is(folder.is_dir):
                problem = f"{folder} is a file, expected a folder to write to"
                raise argparse.ArgumentTypeError(problem)
            break
    return path


def file_to_write(text: str) -> Path:
    """Take the name of a file that will be written; missing folders will be made."""
    path = _path(text)
    if _is(path.is_dir):
        raise argparse.ArgumentTypeError(f"{path} is a folder, expected a file to write")
    folder_to_write(str(path.parent))
    return path


def path_to_read(text: str) -> Path:
    """Take the name of a file or folder that must be there."""
    path = _path(text)
    if not _is(path.exists):
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    return path


def file_to_read(text: str) -> Path:
    """Take the name of a file that must be there."""
    path = _path(text)
    if _is(path.is_dir):
        raise argparse.ArgumentTypeError(f"{path} is a folder, expected a file")
    if not _is(path.exists):
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    return path


def folder_to_read(text: str) -> Path:
    """Take the name of a folder that must be there."""
    path = _path(text)
    if not _is(path.exists):
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    if not _is(path.is_dir):
        raise argparse.ArgumentTypeError(f"{path} is a file, expected a folder")
    return path


def name(text: str) -> str:
    """Take a name that is not empty."""
    if not text.strip():
        raise _refused(text, "a name")
    return text


def _path(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise _refused(text, "the name of a file or folder")
    return Path(text)


def _is(question: Callable[[], bool]) -> bool:
    """Ask about a path; a name that the system cannot even look up is not there."""
    try:
        return question()
    except OSError as error:
        raise argparse.ArgumentTypeError(sentence(error)) from None


def _refused(text: str, wanted: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{text!r}: expected {wanted}")
