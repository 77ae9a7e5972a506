"""Files that are there completely or not at all, whenever the process is killed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PART_SUFFIX = ".part"
"""Ends the names of files that are being written; such a file is never read."""


_FULL_BELOW = 1 << 20
"""Bytes left on a disk that counts as full, where a library does not say why it could not write."""


@contextmanager
def replacing(path: str | os.PathLike[str], size: int | None = None) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there when the block ends without error.

    `size` is how many bytes will be written, where that is known: a full disk is told with it.

    The name holds host and process number, so that two machines that write the same product
    on a shared file system do not write into each other's file; both then rename a whole
    file with the same content.

    Raises
    ------
    OSError
        Names `path`, also where the system or a library had named no file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(_part_name(target))
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
    except (OSError, RuntimeError) as error:
        told = _about(error, target, temporary, size)
        if told is None:
            raise
        raise told from error
    finally:
        with contextlib.suppress(OSError):  # what went wrong before says why
            temporary.unlink()
    _sync(target.parent)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file or nothing."""
    with replacing(path, len(data)) as temporary:
        temporary.write_bytes(data)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write JSON with sorted keys, so that equal values give equal bytes.

    Names of files that are no text in this system's encoding are kept as well: what UTF-8 cannot
    hold becomes JSON's own escape.
    """
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8", "backslashreplace"))


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read what `write_json` wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def point_link(link: Path, target_name: str) -> None:
    """Let the symbolic link `link` point at its sibling `target_name`, in one step.

    Raises
    ------
    OSError
        Names `link`, as where a folder has its name.
    """
    temporary = link.with_name(_part_name(link))
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(target_name)
        os.replace(temporary, link)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OSError(error.errno, error.strerror, str(link)) from error


def remove_abandoned(folder: Path) -> None:
    """Delete what writers on this machine left half written below `folder` when they died."""
    for part in abandoned(folder):
        part.unlink(missing_ok=True)


def abandoned(folder: Path) -> list[Path]:
    """List what writers on this machine left half written below `folder` when they died.

    Files of living processes and of other machines are left alone.
    """
    found = []
    for part in folder.rglob(f".*{PART_SUFFIX}"):
        owner = part.name.removesuffix(PART_SUFFIX)
        rest, _, pid = owner.rpartition(".")
        here = rest.endswith(f".{socket.gethostname()}") and pid.isdecimal()
        if here and not process_exists(int(pid)):
            found.append(part)
    return found


def process_exists(pid: int) -> bool:
    """Whether this machine runs a process of that number; a zombie no longer runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:  # it has just ended, or this system has no /proc
        return not Path("/proc/self/stat").exists()
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def _about(
    error: OSError | RuntimeError, target: Path, temporary: Path, size: int | None
) -> OSError | None:
    """Return an error that names the file that could not be written; None: `error` says enough."""
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno != errno.ENOSPC and error.filename not in (None, str(temporary)):
            return None
        number = error.errno
    elif shutil.disk_usage(target.parent).free < _FULL_BELOW:  # numpy and torch do not say so
        number = errno.ENOSPC
    else:
        return None
    needed = "" if size is None else f"; {size:,} bytes were to be written"
    return OSError(number, f"{os.strerror(number)}{needed}", str(target))


def _part_name(target: Path) -> str:
    return f".{target.name}.{socket.gethostname()}.{os.getpid()}{PART_SUFFIX}"


def _sync(path: Path) -> None:
    """Ask the file system to keep what was written, also over a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
