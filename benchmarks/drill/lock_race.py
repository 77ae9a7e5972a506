"""Processes that take over one stale lock: ``python -m ... LOCK COUNT SEED``.

A program of its own that imports next to nothing, so that thousands of forks take seconds.
Prints ``owners refused others`` for every race.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path

from fg3d_builder.files.locks import BuildRunningError, claim

RACERS = 8
SPREAD_SECONDS = 2e-4
"""Racers start within this time of each other."""


def main(lock: Path, count: int, seed: int) -> None:
    """Race `count` times."""
    draw = random.Random(seed)
    for _ in range(count):
        leave_stale(lock, empty=draw.random() < 0.1)
        told = race(lock, [SPREAD_SECONDS * draw.random() for _ in range(RACERS)])
        print(told.count(b"o"), told.count(b"r"), told.count(b"?"), flush=True)


def leave_stale(lock: Path, empty: bool) -> None:
    """Leave the lock of a process that is gone, or one that was never written."""
    lock.unlink(missing_ok=True)
    dead = os.fork()
    if not dead:
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(dead, 0)
    owner = {"host": socket.gethostname(), "pid": str(dead), "start": "1"}
    lock.write_text("" if empty else json.dumps(owner), encoding="utf-8")


def race(lock: Path, waits: list[float]) -> bytes:
    """Let a process for each of `waits` claim the lock; return a letter of each.

    Nobody lets go before all have come to an answer: owner, refused, or another error.
    """
    go_read, go_write = os.pipe()
    told_read, told_write = os.pipe()
    pids = []
    for wait in waits:
        pid = os.fork()
        if not pid:
            os.close(go_write)
            os.read(go_read, 1)  # returns when the last writer has closed
            until = time.perf_counter() + wait
            while time.perf_counter() < until:
                pass
            os.write(told_write, _claimed(lock))
            signal.pause()  # until it is killed
        pids.append(pid)
    os.close(go_read)
    os.close(go_write)
    told = b""
    while len(told) < len(pids):
        told += os.read(told_read, len(pids))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(told_read)
    os.close(told_write)
    return told


def _claimed(lock: Path) -> bytes:
    try:
        claim(lock)
    except BuildRunningError:
        return b"r"
    except BaseException:
        return b"?"
    return b"o"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
