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
    """Is told by `run_each` which capture is worked on; may leave some to others.

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
        """Take note that no capture is worked on any more."""


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


def run_each(
    stage: str,
    subjects: Mapping[str, str],
    work: Callable[[str], T],
    picture: Callable[[str, CaptureError], Array],
) -> StageResult[T]:
    """Do `work` for every capture id in `subjects`; errors become failures."""
    result: StageResult[T] = StageResult()
    watcher = _watcher.get(_NOBODY)
    for name, subject in subjects.items():
        if watcher.leaves_out(name):
            continue
        elsewhere = watcher.apart(stage, name, subject)
        if elsewhere is not None:
            result.add(elsewhere)
            continue
        watcher.begin(name)
        start = time.perf_counter()
        try:
            result.records[name] = work(name)
        except CaptureError as error:
            _add_failure(result, name, subject, stage, error, picture)
        except (ConfigError, MissingDependencyError, MemoryError):
            raise
        except Exception as error:  # a bug that one capture meets must not cost the others
            log.error("%s: %s failed\n%s", name, stage, traceback.format_exc().rstrip())
            text = f"{type(error).__name__}: {error}"
            wrapped = CaptureError("internal_error", text)
            _add_failure(result, name, subject, stage, wrapped, picture)
        result.seconds[name] = time.perf_counter() - start
    watcher.end(result)
    return result


def _add_failure(
    result: StageResult[T],
    name: str,
    subject: str,
    stage: str,
    error: CaptureError,
    picture: Callable[[str, CaptureError], Array],
) -> None:
    result.failures.append(Failure(name, subject, stage, error.code, error.message))
    try:
        result.pictures[name] = picture(name, error)
    except Exception:  # nor must a picture
        log.error("%s: no picture of its failure\n%s", name, traceback.format_exc().rstrip())
        result.pictures[name] = message_card([error.code, error.message])
