"""What the workers of a Dask cluster do: run one Luigi task, just as a process of Luigi's does."""

from __future__ import annotations

import ctypes
import logging
import os
import socket
import threading
import time
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import luigi
from luigi.scheduler import DONE
from luigi.task_register import load_task
from luigi.worker import TaskProcess, TaskStatusReporter

from fg3d_builder.shards.manifest import package_versions
from fg3d_builder.tasks.chunks import forget_sources
from fg3d_builder.tasks.progress import Display


class Order(NamedTuple):
    """A task to run, in words that another machine understands.

    Attributes
    ----------
    module, family : str
        Where its class is, and what Luigi calls it.
    parameters : dict of str to str
    build : str
        Names the run of the build; what a worker remembers of sources holds for one run only.
    code : str
        Identity of the coordinating process' code, see `code_identity`.
    """

    module: str
    family: str
    parameters: dict[str, str]
    build: str
    code: str


class Outcome(NamedTuple):
    """What became of a task.

    Attributes
    ----------
    status : str
        One of Luigi's.
    explanation : object
        Of a failure, for Luigi's scheduler.
    missing : list of str
        Ids of tasks that were done and turned out not to be.
    asked_for : list of (module, family, parameters)
        Tasks that it asks for before it can end.
    seconds : float
        Time it took.
    """

    status: str
    explanation: Any
    missing: list[str]
    asked_for: list[tuple[str, str, dict[str, str]]]
    seconds: float

    @property
    def ended(self) -> bool:
        """Whether the task is done."""
        return self.status == DONE


class UnfitWorkerError(Exception):
    """A worker must not take part in the build; the message says why."""


def order_for(task: luigi.Task, build: str) -> Order:
    """Return the order to run a task."""
    words = task.to_str_params()
    return Order(task.task_module, task.task_family, words, build, code_identity())


def carry_out(order: Order) -> Outcome:
    """Run a task in this process; called in the workers.

    Whatever the task raises is said here, as Luigi's processes say it, and is in the outcome.

    Raises
    ------
    UnfitWorkerError
        This worker's code is another than that of the build.
    """
    if order.code != code_identity():
        raise UnfitWorkerError(f"the worker on {socket.gethostname()} has another fg3d_builder")
    with _alone:  # also in a worker with several threads: compiled libraries share what they keep
        _prepare(order.build)
        task = load_task(order.module, order.family, order.parameters)
        return _run(task)


@lru_cache(maxsize=1)
def code_identity() -> str:
    """Return the hash of the package's source files, as manifests have it."""
    return package_versions()["fg3d-builder-source"]


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""

_MOST_KEPT_BYTES = 1 << 25
"""Largest piece that glibc keeps by itself on a 64-bit machine; it gives back from twice that."""

_alone = threading.Lock()
_builds: list[str] = []


def _prepare(build: str) -> None:
    """Make this process one of a run of a build."""
    if _builds == [build]:
        return
    _builds[:] = [build]
    forget_sources()
    keep_freed_memory()
    Display.shows = False
    logging.getLogger("fg3d").setLevel(logging.INFO)
    for name in ("luigi", "luigi-interface"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def keep_freed_memory() -> None:
    """Let glibc keep what is freed for what comes next, as it does by itself.

    Dask's workers have it given back to the system at once: a third of our processor time would go
    into clearing it again.
    """
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    with suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MOST_KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 2 * _MOST_KEPT_BYTES)


class _Kept:
    """Stands where a process of Luigi's has a queue to its parent."""

    def put(self, result: tuple[Any, ...]) -> None:
        """Keep the result."""
        self.result = result


def _run(task: luigi.Task) -> Outcome:
    kept, reporter = _Kept(), TaskStatusReporter(None, task.task_id, "", None)
    start = time.time()
    TaskProcess(task, "", kept, reporter).run()
    _, status, explanation, missing, asked_for = kept.result
    return Outcome(status, explanation, missing, asked_for, time.time() - start)
