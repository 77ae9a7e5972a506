"""Runs the tasks of a build on a Dask cluster: ``fg3d build --engine dask``.

Luigi plans and decides as it always does, in one process; where it would start a process for a
task, the task goes to the cluster. What the workers make are files in the build's folder, which
all must see under the same path; only what became of a task comes back.
"""

from __future__ import annotations

import logging
import math
import queue
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import luigi
import psutil
from luigi.scheduler import FAILED, PENDING

from fg3d_builder.errors import MissingDependencyError, sentence
from fg3d_builder.stopping import end_with_children
from fg3d_builder.tasks.base import BuildTask, log
from fg3d_builder.tasks.chunk_tasks import StageTask
from fg3d_builder.tasks.dask_worker import Outcome, UnfitWorkerError, carry_out, order_for
from fg3d_builder.tasks.naming import what
from fg3d_builder.tasks.progress import Display, note_task
from fg3d_builder.tasks.running import run_tasks
from fg3d_builder.tasks.workers import CarefulWorker, EngineLostError

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

EXTRA = "dask"
"""Names the packages that are needed."""

LOOKED_AFTER_S = 2.0
"""Between two looks at which workers there are."""

MOST_GIVEN_UP = 2
"""Times that Dask may give a task up, each after several workers were lost with it."""

_ANSWER_S = 10.0
"""Patience with a scheduler that does not answer at first."""

_HEARD = {"fg3d": logging.INFO, "fg3d_builder": logging.WARNING}
"""Loggers of the workers that are heard here, each from a level on."""

_NEEDED = f"--engine dask needs the package distributed: pip install 'fg3d-builder[{EXTRA}]'"


def run_on_dask(tasks: Sequence[luigi.Task], client: Client, on_terminal: bool = False) -> bool:
    """Run tasks and all that they need on a cluster; return whether everything is there.

    Parameters
    ----------
    tasks : sequence of luigi.Task
    client : distributed.Client
    on_terminal : bool
        Show the progress as one line that is drawn again and again.
    """
    cluster = WatchedCluster(client)
    try:
        make_worker = partial(DaskWorker, cluster=cluster)
        return run_tasks(tasks, cluster.size, "", on_terminal, make_worker)
    finally:
        cluster.leave()


@contextmanager
def local_cluster(workers: int) -> Iterator[Client]:
    """Give a client of a cluster of processes on this machine, one thread each.

    Raises
    ------
    MissingDependencyError
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise MissingDependencyError(_NEEDED) from None
    _silence()
    with (
        TemporaryDirectory(prefix="fg3d-dask-", ignore_cleanup_errors=True) as scratch,
        dask.config.set({"distributed.nanny.pre-spawn-environ": {}}),  # as this process' own
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # a free port, not one for all
            local_directory=scratch,
            memory_limit=0,  # the system's, as for processes of Luigi's
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        try:
            with Client(cluster) as client:
                yield client
        finally:
            _end_now(cluster)


@contextmanager
def existing_cluster(address: str = "", scheduler_file: Path | None = None) -> Iterator[Client]:
    """Give a client of a cluster that is there.

    Parameters
    ----------
    address : str
        ``tcp://host:port`` of its scheduler.
    scheduler_file : Path, optional
        File that its scheduler has written, in place of the address.

    Raises
    ------
    EngineLostError
        No scheduler answers.
    MissingDependencyError
    """
    try:
        from distributed import Client
    except ImportError:
        raise MissingDependencyError(_NEEDED) from None
    if scheduler_file is not None and not scheduler_file.is_file():  # Dask would wait for ever
        raise EngineLostError(f"{scheduler_file} does not exist; a Dask scheduler writes it")
    _silence()
    where = {"scheduler_file": str(scheduler_file)} if scheduler_file else {"address": address}
    try:
        client = Client(timeout=_ANSWER_S, **where)
    except (OSError, ValueError) as error:
        said = sentence(error).splitlines()[0]
        raise EngineLostError(
            f"no Dask scheduler answers at {scheduler_file or address}: {said}"
        ) from None
    with client:
        yield client


def _silence() -> None:
    """Keep to itself what Dask says of its inner life; `WatchedCluster` says what matters."""
    for name in ("distributed", "distributed.client", "tornado"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)


def _end_now(cluster: LocalCluster) -> None:
    """End the workers, which keep nothing, at once; nobody starts others in their place."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid is not None:
            with suppress(psutil.NoSuchProcess):
                end_with_children(psutil.Process(nanny.pid))


class WatchedCluster:
    """A cluster whose workers come and go, and are missed.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._build = uuid.uuid4().hex
        self._there: set[str] = set()
        self._looked = -math.inf
        self._waits = self._ended = False
        with self._answering():
            for name, level in _HEARD.items():
                client.forward_logging(name, level)
        self.look()

    def leave(self) -> None:
        """Hear no more of what workers say, unless they were ended: Dask would complain of them."""
        if self._ended:
            return
        with suppress(Exception):  # the cluster may be gone
            for name in _HEARD:
                self._client.unforward_logging(name)

    def end_if_local(self) -> bool:
        """End the workers at once where they are this build's own; return whether they are."""
        cluster = self._client.cluster
        self._ended = cluster is not None
        if cluster is not None:
            _end_now(cluster)
        return self._ended

    @property
    def size(self) -> int:
        """Number of workers, at least 1: the first may come later."""
        return max(1, len(self._there))

    def look(self) -> None:
        """See which workers there are, unless that was just done; say which are lost.

        Raises
        ------
        EngineLostError
            The scheduler is gone.
        """
        if time.monotonic() < self._looked + LOOKED_AFTER_S:
            return
        with self._answering():
            threads = self._client.nthreads()
        self._looked = time.monotonic()
        for address in sorted(self._there - set(threads)):
            log.warning("worker %s is gone; what it was doing is done again", address)
        for address in sorted(set(threads) - self._there):
            if threads[address] > 1:
                log.warning("worker %s: %d threads, of which one works", address, threads[address])
        if not threads and not self._waits:
            log.warning("the Dask cluster has no worker yet; waiting for one")
        self._there, self._waits = set(threads), not threads
        Display.workers = self.size

    def submit(self, task: luigi.Task, then: Callable[[Future], None]) -> Future:
        """Let a worker run a task; call `then`, in another thread, when it is done or given up.

        Raises
        ------
        EngineLostError
            The scheduler is gone.
        """
        with self._answering():
            future = self._client.submit(
                carry_out,
                order_for(task, self._build),
                key=f"{task.task_family}-{uuid.uuid4().hex}",
                priority=task.priority,
                pure=False,
            )
        future.add_done_callback(then)
        return future

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Take an error for that of a scheduler that is gone, if it is gone."""
        try:
            yield
        except Exception as error:  # which one it is depends on when Dask notices
            if isinstance(error, OSError) or self._client.status != "running":
                raise EngineLostError("the Dask scheduler is gone") from error
            raise


class DaskWorker(CarefulWorker):
    """A Luigi worker whose processes are the workers of a Dask cluster.

    Tasks that belong to no build's folder run in this process: the last one, which sums up.
    """

    def __init__(self, *arguments: Any, cluster: WatchedCluster, **options: Any) -> None:
        self._cluster = cluster
        super().__init__(*arguments, **options)
        self._task_result_queue: Any = _Results()

    @property
    def worker_processes(self) -> int:
        """Number of tasks that are given away: each worker finds a second one when it is done."""
        return 2 * self._cluster.size

    @worker_processes.setter
    def worker_processes(self, _: int) -> None:
        """Do nothing: the cluster says how many there are."""

    def _create_task_process(self, task: luigi.Task) -> Any:
        if isinstance(task, BuildTask):
            return _OnCluster(task, self._cluster, self._task_result_queue, self._deaths)
        process = super()._create_task_process(task)
        process.use_multiprocessing = False
        return process

    def _worked_on(self) -> list[StageTask]:
        """Return what workers of this machine were at, which end with the build: they end here.

        Those of a cluster elsewhere come to the end of what they have begun.
        """
        return super()._worked_on() if self._cluster.end_if_local() else []

    def _purge_children(self) -> None:
        """Look for workers that are lost; Dask gives their tasks to others by itself."""
        self._cluster.look()
        self.say_at_work()


class _Results:
    """The queue of results; those of the cluster are looked at in the thread that asks."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Any] = queue.Queue()

    def put(self, result: Any) -> None:
        self._queue.put(result)

    def get(self, timeout: float) -> tuple[Any, ...]:
        result = self._queue.get(timeout=timeout)
        return result.collected() if isinstance(result, _OnCluster) else result

    def close(self) -> None:
        """Do nothing: no process writes into it."""


class _OnCluster:
    """A task on the cluster, where Luigi expects a process."""

    use_multiprocessing = True
    timeout_time = None
    exitcode = None

    def __init__(
        self, task: BuildTask, cluster: WatchedCluster, results: _Results, deaths: Any
    ) -> None:
        self.task = task
        self._cluster, self._results, self._deaths = cluster, results, deaths
        self._future: Future | None = None

    def start(self) -> None:
        """Give the task away."""
        self._future = self._cluster.submit(self.task, lambda _: self._results.put(self))

    def is_alive(self) -> bool:
        """Whether there is something to stop."""
        return self._future is not None

    def terminate(self) -> None:
        """Take the task back, unless it has begun: then it ends, and nobody asks what it made."""
        if self._future is not None:
            with suppress(Exception):  # the cluster may be gone
                self._future.cancel()

    def collected(self) -> tuple[Any, ...]:
        """Return what became of the task, as Luigi wants it.

        Raises
        ------
        EngineLostError
        """
        from distributed import CancelledError, KilledWorker

        assert self._future is not None
        future, self._future = self._future, None
        try:
            outcome: Outcome = future.result()
        except KilledWorker as error:
            return self._given_up(error)
        except CancelledError:
            raise EngineLostError("the Dask scheduler is gone") from None
        except UnfitWorkerError as error:
            raise EngineLostError(str(error)) from None
        except Exception as error:  # a task's own errors are in its outcome
            text = f"{type(error).__name__}: {sentence(error)}"
            raise EngineLostError(f"a worker cannot run tasks: {text}") from error
        if outcome.ended:
            self._note(outcome.seconds)
        told = (outcome.status, outcome.explanation, outcome.missing, outcome.asked_for)
        return (self.task.task_id, *told)

    def _note(self, seconds: float) -> None:
        try:
            note_task(self.task, seconds)
        except Exception as error:  # what was made is there: the build must not end with it
            log.warning("%s: its time could not be noted: %s", what(self.task), sentence(error))

    def _given_up(self, error: Exception) -> tuple[Any, ...]:
        self._deaths[self.task.task_id] += 1
        lost = "several workers were lost, one after the other, while they did it"
        if self._deaths[self.task.task_id] < MOST_GIVEN_UP:
            log.warning("%s: %s; it is done again", what(self.task), lost)
            return (self.task.task_id, PENDING, "", [], [])
        log.error("%s: %s; what it works on may make them crash", what(self.task), lost)
        return (self.task.task_id, FAILED, str(error), [], [])
