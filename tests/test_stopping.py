"""A stop is noticed wherever it arrives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fg3d_builder.stopping import run_until_stopped

FINALISER = """
import signal, time
from fg3d_builder.stopping import stoppable

class Slow:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)  # Python cannot raise anything from here

try:
    with stoppable():
        Slow()
        time.sleep(15.0)
        print("went on")
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_stop_in_a_finaliser_is_raised_afterwards_and_in_silence() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FINALISER], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "stopped\n"
    assert done.stderr == ""


PROGRAM = """
import signal, sys, threading
import fg3d_builder.stopping as stopping
from fg3d_builder.commands import build
from fg3d_builder.cli import main

stopping.PATIENCE_S = 1.0
before = signal.getsignal(signal.SIGINT)  # ignored, where a shell runs all this in the background
build.run = lambda options: signal.raise_signal(getattr(signal, sys.argv[1]))
status = main(["build", sys.argv[2]])
print(status, flush=True)
waited = threading.Event().wait(2.0)  # longer than the patience with what is being stopped
print("goes on", signal.getsignal(signal.SIGINT) is before, flush=True)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_program_that_runs_a_command_goes_on_after_a_stop(name: str, tmp_path: Path) -> None:
    preset = tmp_path / "preset.toml"
    preset.touch()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, str(preset)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "130\ngoes on True\n"
    assert done.stderr == "fg3d: stopped; the same command goes on\n"
    assert done.returncode == 0


CHILD = """
import os, signal, sys, time
from pathlib import Path

here = Path(sys.argv[1])

def stop(*_):
    time.sleep(0.5)  # longer than the subprocess module waits by itself
    (here / "tidied").write_text(os.environ["FG3D_STOPS_QUIETLY"])
    sys.exit(130)

signal.signal(signal.SIGTERM, stop)
(here / "begun").touch()
time.sleep(60)
"""

PARENT = """
import os, sys
from fg3d_builder.stopping import run_until_stopped, say_stopped, stoppable

try:
    with stoppable():
        run_until_stopped([sys.executable, "-c", sys.argv[1], sys.argv[2]], os.environ)
except KeyboardInterrupt:
    say_stopped()
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_command_within_a_command_tidies_up_before_the_outer_one_ends(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    limit = time.monotonic() + 120
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said == "fg3d: stopped; the same command goes on\n"
    assert (tmp_path / "tidied").read_text() == "1"


def test_what_a_command_within_a_command_ends_with_is_its_status() -> None:
    ended = [sys.executable, "-c", "raise SystemExit(3)"]
    assert run_until_stopped(ended, os.environ) == 3
