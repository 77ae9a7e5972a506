"""What a task costs: its processor time, and the most memory that its process had meanwhile."""

from __future__ import annotations

import functools
import re
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fg3d_builder.files.sealed import DamagedFileError, read_sealed_as, write_sealed_json
from fg3d_builder.shards.costs import Cost

if TYPE_CHECKING:
    from fg3d_builder.tasks.base import BuildTask

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESTART_PEAK = "5"
"""Makes Linux forget the process's high-water mark of memory, see ``man 5 proc``."""


class Meter:
    """Measures what is done in a ``with`` block.

    A process that works on one task after the other has one high-water mark of memory for all of
    them: it is set back where a block begins. What a block inside costs is its own, not the outer
    one's, as where a task finds a file damaged and has it made again; its memory counts in both.
    """

    def __enter__(self) -> Meter:
        """Begin."""
        for outer in _at_work[-1:]:
            outer._look()
        self._peak_mb: float | None = None
        # Where it cannot be set back, it tells something of this block only if it rises.
        self._lower_mb = None if peak_forgotten() else high_water_mb()
        self._inside = Cost(0.0, 0.0, None)
        _at_work.append(self)
        self._began = _processor_s(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        """End; `cost` is known from here on."""
        own, clock = self._began
        processor_s, wall_s = _processor_s() - own, time.perf_counter() - clock
        self._look()
        _at_work.remove(self)
        inside = self._inside
        self.cost = Cost(processor_s - inside.processor_s, wall_s - inside.wall_s, self._peak_mb)
        for outer in _at_work[-1:]:
            outer._inside = Cost(
                outer._inside.processor_s + processor_s, outer._inside.wall_s + wall_s, None
            )
            outer._rise(self._peak_mb)

    def _look(self) -> None:
        mark = high_water_mb()
        if mark is not None and (self._lower_mb is None or mark > self._lower_mb):
            self._rise(mark)

    def _rise(self, to_mb: float | None) -> None:
        if to_mb is not None:
            self._peak_mb = max(to_mb, self._peak_mb or 0.0)


_at_work: list[Meter] = []
"""Those of this process that have begun and not ended, the outermost first."""


def _processor_s() -> float:
    """Processor time of this process and of those that it has started and waited for, seconds."""
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def high_water_mb() -> float | None:
    """Most memory that this process had at once, 10^6 bytes; None where the system hides it."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
        return int(found[1]) * 1024 / 1e6 if found else None
    return None


def peak_forgotten() -> bool:
    """Set the process's high-water mark back to what it has now; False where nobody may."""
    with suppress(OSError):
        _CLEAR.write_text(_RESTART_PEAK)
        return True
    return False


T = TypeVar("T", bound="BuildTask")


def costed(run: Callable[[T], None]) -> Callable[[T], None]:
    """Let a task's `run` note what it cost, if it has made the task's file."""

    @functools.wraps(run)
    def measured(task: T) -> None:
        before = _identity(task.made_file())
        with Meter() as meter:
            run(task)
        if _identity(task.made_file()) != before:
            write_cost(task, meter.cost)

    return measured


def _identity(path: Path) -> tuple[int, int] | None:
    """Tell a file from the one that replaces it."""
    with suppress(FileNotFoundError):
        found = path.stat()
        return found.st_ino, found.st_mtime_ns
    return None


def write_cost(task: BuildTask, cost: Cost) -> None:
    """Note what a task cost."""
    file = task.layout.cost(task.made_file())
    write_sealed_json(file, asdict(cost), file.parent.name)


def read_cost(task: BuildTask) -> Cost | None:
    """Return what a task cost; None where that is not known."""
    file = task.layout.cost(task.made_file())
    with suppress(FileNotFoundError, DamagedFileError):
        return read_sealed_as(file, lambda table: Cost(**table), file.parent.name)
    return None
