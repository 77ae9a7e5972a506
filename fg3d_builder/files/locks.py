"""Locks between processes: one for work that others wait for, one that names its holder.

`exclusive` is a plain lock: whoever comes second waits. `claim` keeps two independent builds out
of one folder: whoever comes second is told who is there.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from fg3d_builder.files.atomic import PART_SUFFIX, process_exists

_held: set[Path] = set()


class BuildRunningError(Exception):
    """Another process builds in the same folder; the message names both."""


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold a lock file while the block runs; wait until no other process holds it.

    The system frees the lock of a process that dies.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        yield


def claim(lock: Path) -> None:
    """Take the lock file for this process and those it forks, until the process ends.

    A lock whose process is gone, as after ``kill -9``, is taken over, by one process however
    many try. A lock from another machine is respected, since nobody here can tell whether its
    process lives.

    Raises
    ------
    BuildRunningError
    OSError
        The file cannot be written, or is none, such as a folder or a link to nothing.
    """
    if lock in _held:
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    own = lock.with_name(f".{lock.name}.{socket.gethostname()}.{os.getpid()}{PART_SUFFIX}")
    try:
        own.write_text(json.dumps(_identity(os.getpid())), encoding="utf-8")
    except OSError as error:
        with suppress(OSError):
            own.unlink()
        raise OSError(error.errno, error.strerror, str(lock)) from error
    try:
        while not (_link(own, lock) or _taken_over(own, lock)):
            pass  # its owner gave it back, or another took it over, in between: look again
    finally:
        own.unlink(missing_ok=True)
    _held.add(lock)
    atexit.register(release, lock, os.getpid())


def check_unclaimed(lock: Path) -> None:
    """Raise where a living process holds a lock file; nothing is written.

    Raises
    ------
    BuildRunningError
    """
    if lock not in _held:
        _refuse_living(lock)


def holder(lock: Path) -> tuple[str, int] | None:
    """Return host and number of the process that holds a lock file; None where none lives.

    That of another machine is taken to live: nobody here can tell. Nothing is written.
    """
    owner = _owner(lock)
    if not owner or not _alive(owner):
        return None
    with suppress(ValueError, TypeError, OverflowError):  # another machine's, and damaged
        return str(owner["host"]), int(owner["pid"])
    return None


def release(lock: Path, pid: int) -> None:
    """Give the lock back; does nothing in a forked process.

    Nor to the lock of another process: a person may have removed this one's meanwhile.
    """
    if lock in _held and pid == os.getpid():
        _held.discard(lock)
        if _owner(lock) == _identity(pid):
            lock.unlink(missing_ok=True)


def _link(own: Path, lock: Path) -> bool:
    """Hard links are made in one step, also on network file systems."""
    try:
        os.link(own, lock)
    except FileExistsError:
        return False
    return True


def _taken_over(own: Path, lock: Path) -> bool:
    """Put `own` in the place of a lock whose process is gone; False where the lock has changed.

    Only who holds the system's lock on the very file that is there may judge and replace it. So
    nobody replaces a lock that another has put there since it was judged.
    """
    _refuse_living(lock)
    try:
        # Writable, since network file systems lock nothing else for one process alone.
        found = lock.open("r+b")
    except FileNotFoundError:
        if lock.is_symlink():
            raise
        return False
    with found:
        fcntl.flock(found, fcntl.LOCK_EX)
        if not _is_still_at(found.fileno(), lock):
            return False
        _refuse_living(lock)
        os.replace(own, lock)
    return True


def _refuse_living(lock: Path) -> None:
    owner = _owner(lock)
    if owner and _alive(owner):
        raise BuildRunningError(
            f"process {owner['pid']} on {owner['host']} builds in {lock.parent}; "
            f"wait for it, or remove {lock} if it is gone"
        )


def _is_still_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is what its path names; another may have been put there."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _owner(lock: Path) -> dict[str, str]:
    try:
        owner = json.loads(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) and {"host", "pid", "start"} <= set(owner) else {}


def _alive(owner: dict[str, str]) -> bool:
    if owner["host"] != socket.gethostname():
        return True
    try:
        pid = int(owner["pid"])
        return process_exists(pid) and owner == _identity(pid)
    except (ValueError, TypeError, OverflowError):  # damaged: no process has such a number
        return False


def _identity(pid: int) -> dict[str, str]:
    """Host, number and start time of a process: numbers are used again, start times not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        start = stat.rsplit(")", 1)[1].split()[19]
    except OSError:  # no such process, or a system without /proc
        start = "running" if process_exists(pid) else "gone"
    return {"host": socket.gethostname(), "pid": str(pid), "start": start}
