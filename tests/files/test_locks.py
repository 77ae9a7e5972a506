"""Locks between processes: held by the living, taken from the dead."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fg3d_builder.files.locks import BuildRunningError, claim, exclusive, release

HOLDER = """
import contextlib, sys, time
from pathlib import Path
from fg3d_builder.files.locks import claim, exclusive
with contextlib.ExitStack() as stack:
    lock = Path(sys.argv[2])
    claim(lock) if sys.argv[1] == "claim" else stack.enter_context(exclusive(lock))
    print("held", flush=True)
    time.sleep(60)
"""


def hold(lock: Path, how: str = "claim") -> subprocess.Popen[str]:
    """Start another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, how, str(lock)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_claim_again_and_release(tmp_path: Path) -> None:
    lock = tmp_path / "build.lock"
    claim(lock)
    claim(lock)
    assert json.loads(lock.read_text())["pid"] == str(os.getpid())
    release(lock, os.getpid())
    assert not lock.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_living_process_keeps_others_out(tmp_path: Path) -> None:
    lock = tmp_path / "build.lock"
    process = hold(lock)
    try:
        with pytest.raises(BuildRunningError, match=f"process {process.pid} "):
            claim(lock)
    finally:
        process.terminate()
        process.wait()


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    lock = tmp_path / "build.lock"
    process = hold(lock)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert lock.exists()
    claim(lock)
    release(lock, os.getpid())


def test_a_number_used_again_is_no_sign_of_life(tmp_path: Path) -> None:
    lock = tmp_path / "build.lock"
    owner = {"host": socket.gethostname(), "pid": str(os.getpid()), "start": "1"}
    lock.write_text(json.dumps(owner))
    claim(lock)
    release(lock, os.getpid())


def test_another_machine_is_respected(tmp_path: Path) -> None:
    lock = tmp_path / "build.lock"
    lock.write_text(json.dumps({"host": "elsewhere", "pid": "1", "start": "1"}))
    with pytest.raises(BuildRunningError, match="elsewhere"):
        claim(lock)


def test_a_broken_lock_is_taken_over(tmp_path: Path) -> None:
    lock = tmp_path / "build.lock"
    lock.write_text("")
    claim(lock)
    release(lock, os.getpid())


def test_an_exclusive_lock_is_waited_for(tmp_path: Path) -> None:
    lock, entered = tmp_path / "new" / "file.lock", threading.Event()

    def enter() -> None:
        with exclusive(lock):
            entered.set()

    process = hold(lock, "exclusive")
    waiting = threading.Thread(target=enter)
    waiting.start()
    try:
        assert not entered.wait(0.3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    waiting.join()
    assert entered.is_set()
