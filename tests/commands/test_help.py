"""Every command's help says what it is for, and what each argument means."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from fg3d_builder.cli import COMMANDS, main


def unexplained() -> dict[str, list[str]]:
    """Return the arguments of every command that have no help."""
    (base,) = (kind for kind in argparse.ArgumentParser.__mro__ if "add_argument" in vars(kind))
    added: list[argparse.Action] = []
    with pytest.MonkeyPatch.context() as patch:
        add = base.add_argument  # type: ignore[attr-defined]
        patch.setattr(base, "add_argument", lambda *a, **k: added.append(add(*a, **k)) or added[-1])
        found = {}
        for module in COMMANDS:
            commands = argparse.ArgumentParser().add_subparsers()
            added.clear()
            module.add_parser(commands)
            for name in commands.choices:
                found[name] = [action.dest for action in added if not action.help]
    return found


def parsers() -> dict[str, argparse.ArgumentParser]:
    commands = argparse.ArgumentParser().add_subparsers()
    for module in COMMANDS:
        module.add_parser(commands)
    return dict(commands.choices)


UNEXPLAINED = unexplained()


@pytest.mark.parametrize("name", parsers())
def test_help_teaches(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    parser = parsers()[name]
    assert parser.description, "says what the command does"
    assert f"fg3d {name} " in parser.description, "shows how it is called"
    assert UNEXPLAINED[name] == []
    assert max(map(len, shown.splitlines())) <= 101


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    words = shown.split()
    assert [name for name in parsers() if name not in words] == []
    assert main(["--version"]) == 0


def test_output_that_nobody_reads_is_no_error() -> None:
    """As with ``fg3d ... | head -1``: no traceback, no complaint of the interpreter at its end."""
    command = [sys.executable, "-m", "fg3d_builder.cli", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("usage")
    command = [sys.executable, "-m", "fg3d_builder.cli", "models", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait() == 141


def test_a_full_disk_behind_the_output_is_told() -> None:
    command = [sys.executable, "-m", "fg3d_builder.cli", "models", "list"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("fg3d: the disk is full: the output could not be written")
    assert done.stderr.splitlines()[1:] == ["see docs/troubleshooting.md#the-disk-is-full"]
