"""Machines that share the tasks of a build through a central scheduler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_build import PROJECT, build, content
from toy_build import write_toy_build

MACHINE = """
import logging, sys
import luigi
from told_steps import Asker, Step
from fg3d_builder.tasks.running import run_tasks

logging.basicConfig(level=logging.INFO, format="%(message)s")
luigi.configuration.get_config().set("core", "scheduler_port", sys.argv[2])
last = Step(root=sys.argv[1], config="none", does="last", after=sys.argv[3])
asker = Asker(root=sys.argv[1], config="none", count=int(sys.argv[4]))
sys.exit(int(not run_tasks([last, asker], 1, "127.0.0.1")))
"""


def machine(folder: Path, port: int, after: str, asked: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MACHINE, str(folder), str(port), after, str(asked)]
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


def makers(folder: Path, pattern: str) -> set[str]:
    """Processes that have done steps."""
    return {file.read_text() for file in folder.glob(pattern)}


def test_both_take_part_and_who_has_nothing_to_do_waits(tmp_path: Path, central: int) -> None:
    machines = [machine(tmp_path, central, "nap 100,nap 101", 8) for _ in range(2)]
    assert [one.wait(timeout=90) for one in machines] == [0, 0]
    assert (tmp_path / "answered").is_file()
    assert (tmp_path / "done-last-nap 100,nap 101").is_file()
    assert len(makers(tmp_path, "done-nap ?-")) == 2  # also of what one of them asked for


@pytest.mark.slow
def test_what_fails_elsewhere_ends_the_wait(tmp_path: Path, central: int) -> None:
    machines = [machine(tmp_path, central, "refused", 2) for _ in range(2)]
    assert [one.wait(timeout=90) for one in machines] == [1, 1]
    assert (tmp_path / "answered").is_file()


def command(preset: Path, out: Path) -> list[str]:
    words = ["build", str(preset), "--out", str(out), "--scheduler-host", "127.0.0.1"]
    return [sys.executable, "-m", "fg3d_builder.cli", *words]


def start(preset: Path, out: Path, port: int) -> subprocess.Popen[str]:
    settings = out.parent / "luigi.cfg"
    settings.write_text(f"[core]\nscheduler_port = {port}\n")
    return subprocess.Popen(
        command(preset, out),
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "LUIGI_CONFIG_PATH": str(settings)},
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_two_machines_build_what_one_builds(tmp_path: Path, central: int, killed: bool) -> None:
    preset = write_toy_build(tmp_path, subjects=9, captures=2, shapes=1)
    assert build(preset, tmp_path / "alone")
    out = tmp_path / "shared"
    machines = [start(preset, out, central) for _ in range(2)]
    if killed:
        limit = time.monotonic() + 120
        while len(list(out.glob("work/registration-*/*.product"))) < 2:
            assert time.monotonic() < limit
            time.sleep(0.02)
        os.killpg(machines[1].pid, signal.SIGKILL)
    said = [one.communicate(timeout=300)[1] for one in machines]
    assert machines[0].returncode == 0, said[0]
    assert machines[1].returncode == (-signal.SIGKILL if killed else 0), said[1]
    assert content(out / "dataset") == content(tmp_path / "alone/dataset")
