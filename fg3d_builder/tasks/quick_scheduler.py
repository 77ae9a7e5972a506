"""A scheduler for the tasks of one process: what is ready stands in a heap.

Luigi's own looks at every task that is not done whenever the next one is wanted. For n tasks that
takes a time with n²: half an hour of a core for the 26,000 tasks of 13,000 captures. Where several
machines share the tasks, Luigi's stays: its state is what they agree on.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from luigi.scheduler import DONE, FAILED, PENDING, RUNNING, UNKNOWN, WORKER_STATE_ACTIVE

RETRIED_AFTER_S = 900.0
"""A task that failed is tried again after this while others still run, as Luigi does it."""


@dataclass
class _Known:
    """What is known of a task.

    Attributes
    ----------
    number : int
        Of tasks with one priority the one that was named first runs first.
    missing : set of str
        Ids of the tasks that it needs and that are not done.
    needed_by : set of str
        Ids of the tasks that need it.
    """

    number: int
    priority: float = 0.0
    status: str = UNKNOWN
    runnable: bool = False
    needs: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    needed_by: set[str] = field(default_factory=set)


class QuickScheduler:
    """What a `luigi.worker.Worker` asks of a scheduler, for one that has it for itself.

    A task that becomes ready or done costs time with the number of tasks that need it, and with
    the logarithm of how many are ready.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, _Known] = {}
        self._ready: list[tuple[float, int, str]] = []
        self._failed: deque[tuple[float, str]] = deque()
        self._running: set[str] = set()
        self._left = 0

    def add_task(
        self,
        task_id: str,
        status: str = PENDING,
        runnable: bool | None = True,
        deps: Collection[str] | None = None,
        new_deps: Collection[str] = (),
        priority: float = 0.0,
        **_: Any,
    ) -> None:
        """Take note of a task, or of what has become of it.

        Parameters
        ----------
        task_id : str
        status : str
            One of Luigi's. That a running task is pending is believed only where it asks for
            more: whoever else needs it merely sees that it is not done.
        runnable : bool, optional
            Whether it can be run here; None: as before.
        deps : collection of str, optional
            Ids of all tasks that it needs; None: as before.
        new_deps : collection of str
            Ids of further ones.
        priority : float
            The highest runs first.
        """
        task = self._task(task_id)
        if deps is not None:
            self._need(task_id, task, deps)
        if new_deps:
            self._need(task_id, task, [*task.needs, *new_deps])
        if runnable and status != FAILED:
            task.runnable, task.priority = True, priority
        if task.status != RUNNING or status != PENDING or new_deps:
            self._change(task_id, task, status)
        self._offer(task_id, task)

    def get_work(self, current_tasks: Collection[str] = (), **_: Any) -> dict[str, Any]:
        """Return the id of the task to run next, in the words of Luigi; None where none is ready.

        Parameters
        ----------
        current_tasks : collection of str
            Ids of the tasks that the worker runs. Of any other that it was given and said nothing
            of the process has died: it is given again.
        """
        self._forgive(time.monotonic())
        reply = self.count_pending()
        for task_id in self._running.difference(current_tasks):
            return {**reply, "task_id": task_id}
        while self._ready:
            task_id = heapq.heappop(self._ready)[-1]
            task = self._tasks[task_id]
            if task.status == PENDING and not task.missing:  # it may stand in the heap twice
                self._change(task_id, task, RUNNING)
                return {**reply, "task_id": task_id}
        return reply

    def count_pending(self, **_: Any) -> dict[str, Any]:
        """Return how many tasks are left, in the words of Luigi."""
        return {
            "task_id": None,
            "running_tasks": [],  # by others
            "n_pending_tasks": self._left,
            "n_unique_pending": self._left,
            "n_pending_last_scheduled": self._left,
            "worker_state": WORKER_STATE_ACTIVE,
        }

    def ping(self, **_: Any) -> dict[str, Any]:
        """Answer that there is no message."""
        return {"rpc_messages": []}

    def add_worker(self, *_: Any, **__: Any) -> None:
        """Take note of the worker: there is one only."""

    def announce_scheduling_failure(self, **_: Any) -> None:
        """Take note that a task could not be planned: the worker says so itself."""

    def _task(self, task_id: str) -> _Known:
        if task_id not in self._tasks:
            self._tasks[task_id] = _Known(len(self._tasks))
        return self._tasks[task_id]

    def _need(self, task_id: str, task: _Known, deps: Collection[str]) -> None:
        for name in deps:  # in their order, which numbers them
            self._task(name).needed_by.add(task_id)
        needs = set(deps)
        for name in task.needs - needs:
            self._tasks[name].needed_by.discard(task_id)
        task.needs = needs
        task.missing = {name for name in needs if self._tasks[name].status != DONE}

    def _change(self, task_id: str, task: _Known, status: str) -> None:
        before, task.status = task.status, status
        (self._running.add if status == RUNNING else self._running.discard)(task_id)
        self._left += (status in (PENDING, FAILED)) - (before in (PENDING, FAILED))
        if status == FAILED:
            self._failed.append((time.monotonic() + RETRIED_AFTER_S, task_id))
        if status == DONE and before != DONE:
            for name in task.needed_by:
                self._tasks[name].missing.discard(task_id)
                self._offer(name, self._tasks[name])
        if status != DONE and before == DONE:  # what it made has gone
            for name in task.needed_by:
                self._tasks[name].missing.add(task_id)

    def _offer(self, task_id: str, task: _Known) -> None:
        """Put a task where the next one is taken from, if it is ready."""
        if task.status == PENDING and task.runnable and not task.missing:
            heapq.heappush(self._ready, (-task.priority, task.number, task_id))

    def _forgive(self, now: float) -> None:
        """Let tasks run again that failed long ago."""
        while self._failed and self._failed[0][0] <= now:
            task_id = self._failed.popleft()[-1]
            task = self._tasks[task_id]
            if task.status == FAILED:
                self._change(task_id, task, PENDING)
                self._offer(task_id, task)
