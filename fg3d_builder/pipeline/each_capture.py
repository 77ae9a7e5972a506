"""One piece of work for each of some captures; what goes wrong with one never stops the others.

It becomes a `Failure` with a picture. What would go wrong with every capture, such as a missing
package or a wrong setting, is raised.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

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


def run_each(
    stage: str,
    subjects: Mapping[str, str],
    work: Callable[[str], T],
    picture: Callable[[str, CaptureError], Array],
) -> StageResult[T]:
    """Do `work` for every capture id in `subjects`; errors become failures."""
    result: StageResult[T] = StageResult()
    for name, subject in subjects.items():
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
