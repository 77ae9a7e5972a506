"""One piece of work for each of some captures; what goes wrong with one never stops the others.

It becomes a `Failure` with a picture. What would go wrong with every capture, such as a missing
package or a wrong setting, is raised.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from fg3d_builder.errors import CaptureError, ConfigError, MissingDependencyError
from fg3d_builder.records import Array, Failure
from fg3d_builder.report.paper import message_card

T = TypeVar("T")

log = logging.getLogger("fg3d")


@dataclass
class StageResult(Generic[T]):
    """Outcome of a stage for one chunk.

    Attributes
    ----------
    records : dict of str to T
        By capture id, in the chunk's order.
    failures : list of Failure
        With `Failure.picture` empty; the pictures are beside them.
    pictures : dict of str to (H, W, 3) uint8
        By capture id, of the failures.
    seconds : dict of str to float
        By capture id.
    """

    records: dict[str, T] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    pictures: dict[str, Array] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, other: StageResult[T]) -> None:
        """Take in the outcome of other captures of the chunk."""
        self.records |= other.records
        self.failures += other.failures
        self.pictures |= other.pictures
        self.seconds |= other.seconds


class Watcher:
    """Is told by `EachCapture` which capture is worked on; may leave some to others.

    This one leaves none, and does nothing.
    """

    def leaves_out(self, name: str) -> bool:
        """Whether a capture is not worked on at all."""
        return False

    def apart(self, stage: str, name: str, subject: str) -> StageResult[Any] | None:
        """Return what was made of a capture elsewhere; None where it is worked on here."""
        return None

    def begin(self, name: str) -> None:
        """Take note that work on a capture begins."""

    def end(self, result: StageResult[Any]) -> None:
        """Take note that work on a capture has ended; `result` is of all until now."""


_NOBODY = Watcher()
_watcher: ContextVar[Watcher] = ContextVar("_watcher")


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Let a watcher be told of what is worked on within a ``with`` block."""
    before = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(before)


@dataclass
class EachCapture(Generic[T]):
    """One piece of work for some captures, a capture at a time; errors become failures.

    Attributes
    ----------
    stage : str
    subjects : mapping of str to str
        By capture id, of all captures that there may be something to do for.
    work : callable
        From a capture id to a record.
    picture : callable
        From a capture id and an error to the picture (H, W, 3) of a failure.
    result : StageResult
        Of the captures that were done.
    """

    stage: str
    subjects: Mapping[str, str]
    work: Callable[[str], T]
    picture: Callable[[str, CaptureError], Array]
    result: StageResult[T] = field(default_factory=StageResult)

    def do(self, name: str) -> None:
        """Do the work for a capture id, unless whoever watches leaves it out or has it done."""
        watcher = _watcher.get(_NOBODY)
        if watcher.leaves_out(name):
            return
        elsewhere = watcher.apart(self.stage, name, self.subjects[name])
        if elsewhere is not None:
            self.result.add(elsewhere)
            return
        watcher.begin(name)
        start = time.perf_counter()
        try:
            self.result.records[name] = self.work(name)
        except CaptureError as error:
            self._fail(name, error)
        except (ConfigError, MissingDependencyError, MemoryError):
            raise
        except Exception as error:  # a bug that one capture meets must not cost the others
            log.error("%s: %s failed\n%s", name, self.stage, traceback.format_exc().rstrip())
            self._fail(name, CaptureError("internal_error", f"{type(error).__name__}: {error}"))
        self.result.seconds[name] = time.perf_counter() - start
        watcher.end(self.result)

    def do_all(self) -> StageResult[T]:
        """Do the work for all captures."""
        for name in self.subjects:
            self.do(name)
        return self.result

    def _fail(self, name: str, error: CaptureError) -> None:
        failure = Failure(name, self.subjects[name], self.stage, error.code, error.message)
        self.result.failures.append(failure)
        try:
            self.result.pictures[name] = self.picture(name, error)
        except Exception:  # nor must a picture
            log.error("%s: no picture of its failure\n%s", name, traceback.format_exc().rstrip())
            self.result.pictures[name] = message_card([error.code, error.message])


def run_each(
    stage: str,
    subjects: Mapping[str, str],
    work: Callable[[str], T],
    picture: Callable[[str, CaptureError], Array],
) -> StageResult[T]:
    """Do `work` for every capture id in `subjects`; errors become failures.

    For `stage`, `subjects`, `work` and `picture` see `EachCapture`.
    """
    return EachCapture(stage, subjects, work, picture).do_all()
