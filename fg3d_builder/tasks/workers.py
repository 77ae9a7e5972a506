"""Luigi's workers as a build needs them: their processes may die, other machines may take part."""

from __future__ import annotations

import multiprocessing
import re
import signal
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import luigi
from luigi.scheduler import FAILED, PENDING
from luigi.worker import Worker

from fg3d_builder.tasks.base import BuildTask, log, pending
from fg3d_builder.tasks.chunk_tasks import StageTask
from fg3d_builder.tasks.isolation import forget_work_on
from fg3d_builder.tasks.naming import what
from fg3d_builder.tasks.progress import LOOKED_AFTER_S, Heartbeat, say_at_work

MOST_RUNS = 5
"""Times that a task is begun whose process dies each time. A capture whose work ends the process
is tried again alone and then left out: that is enough for two of a chunk."""

_POLLS_IN_VAIN = 3
"""Times that nothing is ready and no machine is at work before a machine gives up: between two
tasks of another one there may be a moment without any."""


class EngineLostError(Exception):
    """What runs the tasks is gone or cannot be used; the message says what and why."""


class CarefulWorker(Worker):
    """A Luigi worker whose processes may be killed at any moment.

    What such a process was doing is done again, at once, but not for ever.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._scheduled_tasks: dict[str, luigi.Task] = {}
        # In place of Luigi's own: one of whose queue's lock this object knows.
        self._running_tasks: dict[str, Any] = {}
        self._ended: set[Any] = set()
        self._looked = time.monotonic()
        self._deaths: Counter[str] = Counter()
        self._writing = multiprocessing.Lock()
        results: Any = multiprocessing.Queue()
        results._wlock = self._writing
        self._task_result_queue = results

    def _create_task_process(self, task: luigi.Task) -> Any:
        """Load here, once, what each process that is forked for a task would load by itself."""
        if self.worker_processes > 1 and isinstance(task, BuildTask):
            # What goes wrong goes wrong in the task as well, which says so.
            with suppress(Exception):
                task.preload()
        return super()._create_task_process(task)

    def _run_task(self, task_id: str) -> None:
        """Run a task; in this process, it is said from time to time that it is worked on."""
        task = self._scheduled_tasks[task_id]
        if self.worker_processes > 1 or not isinstance(task, BuildTask):
            super()._run_task(task_id)
            return
        with Heartbeat(task):
            super()._run_task(task_id)

    def say_at_work(self) -> None:
        """Say what other processes work on, where none has said anything for long."""
        if time.monotonic() < self._looked + LOOKED_AFTER_S:
            return
        self._looked = time.monotonic()
        tasks = [process.task for process in self._running_tasks.values()]
        with suppress(Exception):  # as where the disk is full: the tasks say so themselves
            say_at_work([task for task in tasks if isinstance(task, BuildTask)])

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        """End the processes; where a person stops the build, no capture is suspected for it.

        One whose process had died by itself before stays suspect.
        """
        running = self._worked_on() if kind and issubclass(kind, KeyboardInterrupt) else []
        ended = super().__exit__(kind, error, trace)
        for task in running:
            with suppress(Exception):  # as where what it would make cannot be told any more
                for product in task.products():
                    forget_work_on(product)
        return ended

    def _worked_on(self) -> list[StageTask]:
        """Return the tasks that processes of this machine are at work on."""
        at_work = [p.task for p in self._running_tasks.values() if not _has_died(p.exitcode)]
        return [task for task in at_work if isinstance(task, StageTask)]

    def _log_complete_error(self, task: luigi.Task, trace: str) -> None:
        """Say why it cannot be told whether a task is complete; Luigi has no event for that."""
        kind, _, text = trace.strip().splitlines()[-1].partition(": ")
        log.error("%s: %s", what(task), text or kind)

    def _purge_children(self) -> None:
        """Look for processes that have died, once at each: Luigi comes by again and again."""
        self.say_at_work()
        running = self._running_tasks
        self._ended &= set(running.values())
        died = {k: p for k, p in running.items() if p.exitcode and p not in self._ended}
        if any(process.exitcode < 0 for process in died.values()):
            self._free_results()
        for task_id, process in died.items():
            if self._is_done_again(task_id, process):
                self._ended.add(process)
                self._task_result_queue.put((task_id, PENDING, "", [], []))
        self._running_tasks = {k: p for k, p in running.items() if p not in self._ended}
        try:
            super()._purge_children()
        finally:
            self._running_tasks = running
        self._ended |= set(died.values())

    def _is_done_again(self, task_id: str, process: Any) -> bool:
        """Count that the process of a task died; say so if the task is to be done again."""
        self._deaths[task_id] += 1
        if self._deaths[task_id] >= MOST_RUNS:
            return False
        task = self._scheduled_tasks[task_id]
        log.warning("%s: its process %s; it is done again", what(task), death(process.exitcode))
        return True

    def _free_results(self) -> None:
        """Free the lock of the queue of results, if a process was killed that held it.

        The living hold it for microseconds only. Without it none of them could ever end.
        """
        self._writing.acquire(timeout=5.0)
        self._writing.release()


class SharingWorker(CarefulWorker):
    """The worker of one of several machines that share the tasks of a build through a ``luigid``.

    Luigi's own ends when nothing is ready, though others still run what its tasks wait for, and
    never hears of what tasks of theirs ask for while they run.
    """

    def __init__(self, scheduler: Any, **options: Any) -> None:
        super().__init__(scheduler, keep_alive=True, wait_jitter=0.5, **options)
        self._shared = scheduler
        self._in_vain = 0

    def _keep_alive(self, answer: Any) -> bool:
        """Whether to ask again a little later: something of the build is still to come."""
        left = answer.n_pending_tasks + len(answer.running_tasks)
        if not super()._keep_alive(answer._replace(n_pending_tasks=left)):
            return False
        if answer.running_tasks or self._heard_of_more() or self._lost_are_given_back():
            self._in_vain = 0
        else:
            self._in_vain += 1
        return self._in_vain < _POLLS_IN_VAIN

    def _heard_of_more(self) -> bool:
        """Take part in what tasks of other machines have asked for while they ran."""
        known = set(self._scheduled_tasks)
        builds = [t for t in self._scheduled_tasks.values() if isinstance(t, BuildTask)]
        asking = [task for task in builds if _may_ask(task) and not task.complete()]
        for task in asking:
            more = [] if pending(task.deps()) else task.asks_for()
            for one in more:
                if one.task_id not in known:
                    self.add(one)
        return len(self._scheduled_tasks) > len(known)

    def _lost_are_given_back(self) -> bool:
        """Let what a lost machine was doing be done by another.

        The scheduler says that it failed, and for once without a reason.
        """
        failed = self._shared.task_list(status=FAILED, upstream_status="")
        lost = [name for name in failed if name in self._scheduled_tasks and not self._why(name)]
        for name in lost:
            task = self._scheduled_tasks[name]
            log.warning("%s: its machine is gone; it is done again", what(task))
            self._shared.forgive_failures(task_id=name)
        return bool(lost)

    def _why(self, task_id: str) -> str:
        reason = str(self._shared.fetch_error(task_id=task_id)["error"] or "")
        return "" if reason in ("null", '""') else reason


def _has_died(exit_code: int | None) -> bool:
    """Whether a process has ended by itself; who stops a group of processes ends it by a signal."""
    return exit_code is not None and -exit_code not in (signal.SIGTERM, signal.SIGINT)


def _may_ask(task: BuildTask) -> bool:
    return type(task).asks_for is not BuildTask.asks_for


def death(exit_code: int) -> str:
    """Say how a process ended, from its exit code."""
    if exit_code >= 0:
        return f"ended with status {exit_code}"
    how = f"was killed by {signal.Signals(-exit_code).name}"
    if exit_code == -signal.SIGKILL:
        how += ", as the system does when memory runs out"
    return how


def exit_code_in(message: str) -> int:
    """Return the exit code that Luigi names where the process of a task has died."""
    found = re.search(r"exit code (-?\d+)", message)
    return int(found[1]) if found else 1
