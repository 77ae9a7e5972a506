"""Runs Luigi: what its end means, and words for what goes wrong."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import luigi
from luigi.execution_summary import LuigiStatusCode
from luigi.rpc import RPCError
from luigi.worker import Worker

from fg3d_builder.errors import ConfigError, MissingDependencyError, sentence
from fg3d_builder.files.locks import BuildRunningError
from fg3d_builder.files.sealed import DamagedFileError
from fg3d_builder.guidance import page_for_error
from fg3d_builder.tasks.base import BuildTask, log
from fg3d_builder.tasks.build import BuildFG3D, TooManyFailuresError
from fg3d_builder.tasks.naming import what
from fg3d_builder.tasks.progress import Display
from fg3d_builder.tasks.quick_scheduler import QuickScheduler
from fg3d_builder.tasks.workers import (
    CarefulWorker,
    EngineLostError,
    SharingWorker,
    death,
    exit_code_in,
)

EXIT_STATUSES = {
    "already_running": 10,
    "missing_data": 20,
    "not_run": 25,
    "task_failed": 30,
    "scheduling_error": 35,
    "unhandled_exception": 40,
}
"""Of the ``luigi`` command, where its configuration says nothing else; Luigi's own are all 0."""

_EXPECTED = (
    TooManyFailuresError,
    ConfigError,
    MissingDependencyError,
    BuildRunningError,
    DamagedFileError,
    OSError,
    MemoryError,
    RPCError,
)
"""Errors whose message says it all."""


_UNFULFILLED = "Unfulfilled dependenc"
"""Begins what Luigi says where a file has gone since the task was planned."""

MOST_RESCHEDULED = 1000
"""Tasks that may wait again for one file; to Luigi a second one would be a failure."""

MOST_REPAIRS = 10
"""The same for each process of `run_tasks`: a file that is damaged whenever it is made ends it."""


def set_exit_statuses() -> None:
    """Let the ``luigi`` command fail where a task fails, without a configuration file at hand.

    And let it wait where a file turned out to be damaged, and is made again: at once, where Luigi
    would for ten seconds take it for done, and start and fail what waits for it all the time.
    """
    settings = luigi.configuration.get_config()
    for section, name, value in (
        ("worker", "max_reschedules", MOST_RESCHEDULED),
        ("scheduler", "stable_done_cooldown_secs", 0),
    ):
        if not settings.has_option(section, name):
            settings.set(section, name, str(value))
    for name, status in EXIT_STATUSES.items():
        if not settings.has_option("retcode", name):
            settings.set("retcode", name, str(status))


def run_tasks(
    tasks: Sequence[luigi.Task],
    workers: int,
    scheduler_host: str = "",
    on_terminal: bool = False,
    make_worker: Callable[..., Worker] | None = None,
) -> bool:
    """Run tasks and all that they need; return whether everything asked for is there.

    What goes wrong is logged, in a sentence each.

    Parameters
    ----------
    tasks : sequence of luigi.Task
    workers : int
        Processes.
    scheduler_host : str
        Host of a central ``luigid``; this process schedules alone if empty.
    on_terminal : bool
        Show the progress as one line that is drawn again and again.
    make_worker : callable, optional
        Makes what runs the tasks, of what a `luigi.worker.Worker` is made of; processes of this
        machine if None.
    """
    Display.workers, Display.on_terminal = workers, on_terminal
    settings = luigi.configuration.get_config()
    settings.set("core", "no_configure_logging", "true")
    settings.set("worker", "max_reschedules", str(MOST_REPAIRS * max(workers, 1)))
    # `BuildFG3D` asks for it: a central scheduler keeps machines apart, else a lock does.
    settings.set("core", "local_scheduler", "false" if scheduler_host else "true")
    # What Luigi says of errors is in its own words and has tracebacks; the events below say it.
    logging.getLogger("luigi-interface").setLevel(logging.CRITICAL)
    logging.getLogger("luigi").setLevel(logging.CRITICAL)
    kind = SharingWorker if scheduler_host else CarefulWorker
    try:
        result = luigi.build(
            list(tasks),
            worker_scheduler_factory=_Factory(make_worker or kind),
            local_scheduler=not scheduler_host,
            scheduler_host=scheduler_host or "localhost",
            workers=workers,
            detailed_summary=True,
        )
    except RPCError:
        log.error("no luigid answers on %s; start one there, or build without it", scheduler_host)
        return False
    except EngineLostError as error:
        log.error("not complete: %s; the same command goes on with what is missing", error)
        return False
    good = result.status in (LuigiStatusCode.SUCCESS, LuigiStatusCode.SUCCESS_WITH_RETRY)
    if result.status == LuigiStatusCode.NOT_RUN and scheduler_host:
        good = all(task.complete() for task in tasks)  # other machines have run the rest
    if not good:
        log.error("%s; the same command goes on with what is missing", _END[result.status])
    return good


_END = {
    LuigiStatusCode.FAILED: "not complete: a task failed",
    LuigiStatusCode.FAILED_AND_SCHEDULING_FAILED: "not complete: tasks failed or were not planned",
    LuigiStatusCode.SCHEDULING_FAILED: "not complete: a task could not be planned",
    LuigiStatusCode.NOT_RUN: "not complete: not all tasks have run",
    LuigiStatusCode.MISSING_EXT: "not complete: what it needs from elsewhere is missing",
}


@dataclass(frozen=True)
class _Factory:
    """What Luigi makes workers and schedulers with."""

    make_worker: Callable[..., Worker]

    def create_local_scheduler(self) -> QuickScheduler:
        return QuickScheduler()

    def create_remote_scheduler(self, url: str) -> Any:
        return luigi.rpc.RemoteScheduler(url)

    def create_worker(
        self, scheduler: Any, worker_processes: int, assistant: bool = False
    ) -> Worker:
        return self.make_worker(scheduler, worker_processes=worker_processes, assistant=assistant)


@BuildFG3D.event_handler(luigi.Event.BROKEN_TASK)
@BuildTask.event_handler(luigi.Event.BROKEN_TASK)
@BuildFG3D.event_handler(luigi.Event.FAILURE)
@BuildTask.event_handler(luigi.Event.FAILURE)
def say_failure(task: Any, error: BaseException) -> None:
    """Say in a sentence why a task failed; of a bug, write down where it is."""
    text = sentence(error)
    if text.startswith(_UNFULFILLED):  # it has been set aside as damaged, and is made again
        log.warning("%s waits for what is made again", what(task))
        return
    if isinstance(error, _EXPECTED):
        page = page_for_error(error)
        log.error("%s: %s%s", what(task), text, f"; see {page}" if page else "")
        return
    record = task.layout.work / "errors.log"
    try:
        with record.open("a", encoding="utf-8") as file:
            file.write(f"{task}\n{''.join(traceback.format_exception(error))}\n")
        where = f"details in {record}"
    except OSError as unwritable:
        where = str(unwritable)
    log.error("%s: %s: %s; %s", what(task), type(error).__name__, text, where)


@BuildFG3D.event_handler(luigi.Event.PROCESS_FAILURE)
@BuildTask.event_handler(luigi.Event.PROCESS_FAILURE)
def say_killed(task: luigi.Task, message: str) -> None:
    """Say in a sentence that the process of a task was killed."""
    how = death(exit_code_in(message))
    log.error("%s: its process %s; run the same command again", what(task), how)
