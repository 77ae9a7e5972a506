"""Locks between processes: held by the living, taken from the dead."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import pytest

from fg3d_builder.files.locks import BuildRunningError, claim, exclusive, holder, release

RACE = """
import json, multiprocessing, os, random, socket, sys, time
from pathlib import Path
from fg3d_builder.files import locks
from fg3d_builder.files.atomic import process_exists
from fg3d_builder.files.locks import BuildRunningError, claim, release

def run(number, folder, start, end, owners):
    chance = random.Random(number)

    def slowly(pid):
        time.sleep(chance.uniform(0, 0.004))
        return process_exists(pid)

    locks.process_exists = slowly  # between the look at a lock and what follows from it
    for turn in range(int(sys.argv[2])):
        lock = Path(folder, f"{turn}.lock")
        start.wait()
        try:
            claim(lock)
            owners[turn * RACERS + number] = 1
        except BuildRunningError:
            pass
        end.wait()
        release(lock, os.getpid())

RACERS, fork = 4, multiprocessing.get_context("fork")
owners = fork.Array("b", int(sys.argv[2]) * RACERS)
for turn in range(int(sys.argv[2])):
    owner = {"host": socket.gethostname(), "pid": str(os.getpid()), "start": "long ago"}
    Path(sys.argv[1], f"{turn}.lock").write_text(json.dumps(owner))
gates = fork.Barrier(RACERS), fork.Barrier(RACERS)
racers = [fork.Process(target=run, args=(i, sys.argv[1], *gates, owners)) for i in range(RACERS)]
for racer in racers:
    racer.start()
for racer in racers:
    racer.join()
counts = [sum(owners[turn * RACERS:][:RACERS]) for turn in range(int(sys.argv[2]))]
print(*counts)
"""

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


@pytest.mark.parametrize(
    ("owner", "seen"),
    [
        ({"host": "elsewhere", "pid": "7", "start": "1"}, ("elsewhere", 7)),
        ({"host": "elsewhere", "pid": [7], "start": "1"}, None),
        ({"host": socket.gethostname(), "pid": str(os.getpid()), "start": "another"}, None),
        ([], None),
    ],
)
def test_who_holds_a_lock(tmp_path: Path, owner: object, seen: tuple[str, int] | None) -> None:
    lock = tmp_path / "build.lock"
    assert holder(lock) is None
    lock.write_text(json.dumps(owner))
    assert holder(lock) == seen


def test_a_broken_lock_is_taken_over(tmp_path: Path) -> None:
    lock = tmp_path / "build.lock"
    lock.write_text("")
    claim(lock)
    release(lock, os.getpid())


@pytest.mark.parametrize("pid", ["12x", "9" * 30, None, "-1", "0"])
def test_a_lock_of_no_process_is_taken_over(tmp_path: Path, pid: object) -> None:
    lock = tmp_path / "build.lock"
    lock.write_text(json.dumps({"host": socket.gethostname(), "pid": pid, "start": "1"}))
    claim(lock)
    assert json.loads(lock.read_text())["pid"] == str(os.getpid())
    release(lock, os.getpid())


def test_what_is_no_lock_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "link.lock").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match=r"link\.lock"):
        claim(tmp_path / "link.lock")
    (tmp_path / "folder.lock").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.lock"):
        claim(tmp_path / "folder.lock")


def test_the_system_s_lock_is_one_that_network_file_systems_grant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They make it a lock of bytes, which excludes others only on a file open for writing."""
    lock, seen = tmp_path / "build.lock", []

    def flock(file: IO[bytes], how: int) -> None:
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        seen.append(how)

    monkeypatch.setattr("fg3d_builder.files.locks.fcntl.flock", flock)
    lock.write_text("")
    claim(lock)
    release(lock, os.getpid())
    assert seen == [fcntl.LOCK_EX]


def test_the_lock_of_another_is_not_given_back(tmp_path: Path) -> None:
    """As where a person has removed this one's, and another build has begun since."""
    lock = tmp_path / "build.lock"
    claim(lock)
    other = json.dumps({"host": "elsewhere", "pid": "1", "start": "1"})
    lock.unlink()
    lock.write_text(other)
    release(lock, os.getpid())
    assert lock.read_text() == other


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


def test_of_many_that_take_over_one_wins(tmp_path: Path) -> None:
    """Four processes, let go at once, pausing at random, over locks that dead ones left."""
    turns = 200
    run = [sys.executable, "-c", RACE, str(tmp_path), str(turns)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"] * turns
    assert list(tmp_path.iterdir()) == []
