"""Every command that a page shows is one: the program would read it, whatever it then does.

The walks of docs/guides/own-files.md are also run (`test_walks.py`), examples in Python are run by
`test_dataset_page.py`, notebooks by `test_notebooks.py`.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import luigi
import pytest

import fg3d_builder.tasks
from fg3d_builder.cli import COMMANDS
from fg3d_builder.commands.captures import with_action
from fg3d_builder.config.presets import tomllib

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted([PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")])

ELSEWHERE = {
    "tar": "an archive tool of the system",
    "source": "the shell's own word",
    "cd": "the shell's own word",
    "git": "how the project is fetched",
    "ssh": "how a port of another machine is forwarded",
    "luigid": "Luigi's server, without arguments; tests/tasks/test_sharing.py starts it",
    "dask": "Dask's own command; tests/tasks/test_dask_engine.py starts scheduler and workers",
    "fg3d-pack/run.sh": "of a packed run; tests/fgnet/test_packing.py runs it",
    "./run.sh": "of a packed run; tests/fgnet/test_packing.py runs it",
}
"""Programs that are not ours, with the reason why their lines are not read here."""

OURS = ("fg3d", "make", "luigi", "python", "pip", "torchrun", "pytest")
OF_LUIGI = {"--module", "--workers", "--local-scheduler", "--scheduler-host"}


def fenced(text: str) -> Iterator[tuple[str, str]]:
    """Yield language and content of each fenced block."""
    for fence in re.finditer(r"^(```+)(\w*)\n(.*?)^\1$", text, re.MULTILINE | re.DOTALL):
        yield fence[2], fence[3]


def commands(text: str) -> list[list[str]]:
    """Return the words of every command in the blocks of a page.

    A block marked `sh` holds commands alone. In others a line counts that begins with one of our
    programs, up to what a wide gap sets apart from it.
    """
    found = []
    for language, block in fenced(text):
        if language not in ("sh", "", "text"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if language != "sh":
                if line.split(" ")[0] not in ("fg3d", "make", "luigi"):
                    continue
                line = re.split(r" {2,}", line)[0]
            found += [part for part in _parts(line) if part]
    return found


def _parts(line: str) -> Iterator[list[str]]:
    words: list[str] = []
    for word in shlex.split(line, comments=True):
        if word in (">", "|"):
            break  # where the output goes is the shell's affair
        if word == "&&":
            yield words
            words = []
        elif words or not re.fullmatch(r"[A-Z_]+=\S*", word):
            words.append(word)
    yield words


@pytest.fixture(scope="module")
def parser() -> argparse.ArgumentParser:
    """The program's parser, which does not ask whether the files of an example are there."""
    parser = argparse.ArgumentParser()
    inner = parser.add_subparsers(required=True)
    for module in COMMANDS:
        module.add_parser(inner)
    for each in every_parser(inner):
        for action in each._actions:
            if callable(action.type):
                action.type = believing(action.type)
    return parser


def believing(read: Callable[[str], object]) -> Callable[[str], object]:
    """Return a type of arguments that takes a file for there when an example names it."""

    def take(text: str) -> object:
        try:
            return read(text)
        except argparse.ArgumentTypeError as error:
            if str(error).endswith("does not exist"):
                return text
            raise

    return take


def every_parser(
    among: argparse._SubParsersAction[argparse.ArgumentParser],
) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of all commands and of those below them."""
    for parser in among.choices.values():
        yield parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from every_parser(action)


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options of one parser, such as ``--out``."""
    return {name for action in parser._actions for name in action.option_strings}


def check(words: list[str], parser: argparse.ArgumentParser) -> None:
    """Fail unless a command is one."""
    program, *rest = words
    if program in ELSEWHERE:
        return
    assert program in OURS, f"{program} is no program of ours: {words}"
    {
        "fg3d": _check_fg3d,
        "make": _check_make,
        "luigi": _check_luigi,
        "python": _check_python,
        "pip": _check_pip,
        "torchrun": _check_torchrun,
        "pytest": _check_pytest,
    }[program](rest, parser)


def _check_fg3d(words: list[str], parser: argparse.ArgumentParser) -> None:
    status: object = 0
    try:
        parser.parse_args(with_action(words))
    except SystemExit as stop:
        status = stop.code
    assert not status, words


def _check_make(words: list[str], _: argparse.ArgumentParser) -> None:
    targets = re.findall(r"^([\w-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert [word for word in words if "=" not in word and word not in targets] == []


def _check_luigi(words: list[str], _: argparse.ArgumentParser) -> None:
    assert words[:2] == ["--module", "fg3d_builder.tasks"]
    task = getattr(fg3d_builder.tasks, words[2])
    assert issubclass(task, luigi.Task)
    names = {f"--{name.replace('_', '-')}" for name, _ in task.get_params()}
    assert {word for word in words if word.startswith("--")} <= names | OF_LUIGI


def _check_python(words: list[str], _: argparse.ArgumentParser) -> None:
    if words[0] == "-c":
        compile(words[1], "example", "exec")
        return
    name = words[1].replace(".", "/") if words[0] == "-m" else words[0].removesuffix(".py")
    if name.split("/")[0] not in ("benchmarks", "docs", "fg3d_builder"):
        assert words[0] != "-m" or name in sys.stdlib_module_names | {"mkdocs", "pytest"}
        return
    text = (PROJECT / f"{name}.py").read_text(encoding="utf-8")
    options = {word for word in words[2:] if word.startswith("--")}
    assert {option for option in options if f'"{option}"' not in text} == set()


def _check_pip(words: list[str], _: argparse.ArgumentParser) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extras in re.findall(r"fg3d-builder\[([\w,]+)\]", " ".join(words)):
        assert set(extras.split(",")) <= set(project["optional-dependencies"])


def _check_torchrun(words: list[str], parser: argparse.ArgumentParser) -> None:
    _check_fg3d(words[words.index("fg3d_builder.cli") + 1 :], parser)


def _check_pytest(words: list[str], _: argparse.ArgumentParser) -> None:
    files = [word.split("::")[0] for word in words if word.startswith("tests/")]
    assert files
    assert [name for name in files if not (PROJECT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_every_command_of_a_page_is_one(page: Path, parser: argparse.ArgumentParser) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        check(words, parser)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_commands_within_sentences_have_what_they_name(
    page: Path, parser: argparse.ArgumentParser
) -> None:
    """Such as `fg3d check PRESET`: the command is there, and its options are."""
    (top,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    text = re.sub(r"^(```+).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for span in re.findall(r"`(fg3d\s[^`]+)`", text):
        words = span.split()[1:]
        if words[0].isupper() or words[0].startswith("-"):
            continue  # `fg3d COMMAND`, `fg3d --help`
        command = top.choices[words.pop(0)]
        options = options_of(command)
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction) and words:
                below = action.choices.get(words[0])
                options |= options_of(below) if below else set()
        named = {word.strip(",.;").split("=")[0] for word in words if word.startswith("--")}
        assert named <= options, span


def test_pages_show_commands_of_every_kind() -> None:
    """The blocks are found: a change of how they are marked does not pass for no commands."""
    found = [c for page in PAGES for c in commands(page.read_text(encoding="utf-8"))]
    named = {words[1] for words in found if words[0] == "fg3d" and len(words) > 1}
    assert len(named) >= 20
    assert {"make", "luigi", "python", "torchrun"} <= {words[0] for words in found}
    assert commands("```sh\nEPOCHS=2 ./run.sh && fg3d check 'a b' > c # d\n```\n") == [
        ["./run.sh"],
        ["fg3d", "check", "a b"],
    ]
