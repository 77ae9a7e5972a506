"""How a command ends: its exit status, one sentence on stderr, and a trace kept for faults."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from fg3d_builder.cli import main
from fg3d_builder.commands import report
from fg3d_builder.errors import CaptureError, ConfigError, MissingDependencyError
from fg3d_builder.files.sealed import DamagedFileError
from fg3d_builder.guidance import page_for_error


def end_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def run(options: argparse.Namespace) -> NoReturn:
        raise error

    monkeypatch.setattr(report, "run", run)
    return main(["report", "build/demo"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConfigError("a: wrong"), "fg3d: a: wrong\n"),
        (ValueError("b: wrong"), "fg3d: b: wrong\n"),
        (MissingDependencyError("c is missing"), "fg3d: c is missing\n"),
        (ConfigError("p: 2 problems\n  \x1b[31m\n  b"), "fg3d: p: 2 problems\n  \\x1b[31m\n  b\n"),
        (CaptureError("no_face", "d: no face"), "fg3d: no_face: d: no face\n"),
        (
            DamagedFileError(Path("e"), "why"),
            "fg3d: e is damaged (why) and was set aside; the same command makes it again\n",
        ),
        (PermissionError(13, "Permission denied", "f"), "fg3d: f: permission denied\n"),
        (OSError(9, "Bad file descriptor", 99), "fg3d: open file 99: Bad file descriptor\n"),
        (MemoryError("1 TiB"), "fg3d: not enough memory: 1 TiB\n"),
        (RecursionError(), "fg3d: a file is nested too deep\n"),
    ],
)
def test_what_a_person_can_mend_is_one_sentence(
    error: BaseException,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert end_with(monkeypatch, error) == 2
    page = page_for_error(error)
    assert capsys.readouterr().err == said + (f"see {page}\n" if page else "")


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert end_with(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "fg3d: stopped\n"


GOES_ON = {
    "build": "toy.toml",
    "train": "{here} --out {here}/run",
    "experiments": "table1 --scale tiny",
    "evaluate": "now {here} --out {here}/out",
    "merge": "{here} {here} --out {here}/both",
    "split": "{here} --test 0.2 --out {here}/split",
}
"""Commands that go on where they were stopped, and words for each."""

STOPPED = """
import importlib, signal, sys
from fg3d_builder.cli import main

name, number, *words = sys.argv[1:]
command = importlib.import_module(f"fg3d_builder.commands.{name}")
command.run = lambda _: signal.raise_signal(int(number))
sys.exit(main([name, *words]))
"""


@pytest.mark.parametrize("name", GOES_ON)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_what_goes_on_later_says_so_when_it_is_stopped(
    name: str, number: signal.Signals, tmp_path: Path
) -> None:
    words = [name, str(int(number)), *GOES_ON[name].format(here=tmp_path).split()]
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr == "fg3d: stopped; the same command goes on\n"
    assert done.stdout == ""


def test_a_fault_of_the_program_keeps_its_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert end_with(monkeypatch, KeyError("pose")) == 2
    (kept,) = tmp_path.glob("fg3d-error-*.txt")
    said = capsys.readouterr().err
    assert said == f"fg3d: KeyError: 'pose' (a fault of fg3d; where it arose is in {kept})\n"
    assert "test_endings.py" in kept.read_text()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nothing"))
    assert end_with(monkeypatch, KeyError("pose")) == 2
    assert "no room" in capsys.readouterr().err
