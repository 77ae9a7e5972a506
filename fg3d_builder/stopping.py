"""Ctrl-C and ``SIGTERM``: work that can be resumed ends at once and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

STATUS = 130
"""Exit status of a command that was stopped."""

STOPPED = "stopped; the same command goes on"

PATIENCE_S = 20.0
"""After this the process ends without tidying up: compiled code may keep an exception to itself."""

AGAIN_S = 0.05

QUIET = "FG3D_STOPS_QUIETLY"
"""Variable of the environment of processes whose parent says that it was stopped."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_stoppable = False


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `KeyboardInterrupt` in this process, once, where it is told to stop.

    Processes that it forks meanwhile leave Ctrl-C to it, and end at once where it ends them. It
    pays no attention to being told again before the block is left; after the block it takes signals
    as it did before. One that ends then calls `end_at_latest`.
    """
    global _stoppable
    patience: list[threading.Timer] = []

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        patience.append(end_at_latest())
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    reported = sys.unraisablehook
    sys.unraisablehook = _raised_again
    _stoppable = True
    try:
        yield
    finally:
        _stoppable = False
        sys.unraisablehook = reported
        for timer in patience:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def end_at_latest() -> threading.Timer:
    """End this process and its children after `PATIENCE_S`, unless the timer is cancelled."""
    last = threading.Timer(PATIENCE_S, _end_now)
    last.daemon = True
    last.start()
    return last


def _raised_again(caught: sys.UnraisableHookArgs) -> None:
    """Raise once more, a little later, what Python could not raise where it was: in a finaliser."""

    def again(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if not issubclass(caught.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(caught)
        return
    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)


def _in_forked() -> None:
    if _stoppable:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


os.register_at_fork(after_in_child=_in_forked)


def run_until_stopped(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command of the project in a process of its own; return its exit status.

    Where this process is stopped, that one is told to stop and waited for: it ends its own.

    Parameters
    ----------
    command : sequence of str
    environment : mapping of str to str
    """
    with subprocess.Popen(command, env={**environment, QUIET: "1"}) as child:
        try:
            return child.wait()
        finally:
            child.terminate()
            child.wait()


def say_stopped() -> None:
    """Say that the same command goes on, unless a parent says so."""
    if QUIET not in os.environ:
        in_place_of_a_bar = "\r\x1b[K" if sys.stderr.isatty() else ""
        sys.stderr.write(f"{in_place_of_a_bar}fg3d: {STOPPED}\n")
        sys.stderr.flush()


def end_children() -> None:
    """Kill all processes that this one has started, and theirs."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def end_with_children(process: psutil.Process) -> None:
    """Kill a process and all that it has started.

    Raises
    ------
    psutil.NoSuchProcess
        It has ended before.
    """
    children = process.children(recursive=True)
    process.kill()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def _end_now() -> None:
    end_children()
    say_stopped()
    os._exit(STATUS)
