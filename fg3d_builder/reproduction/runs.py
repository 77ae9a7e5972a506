"""Trainings: each a folder and a command that a person can repeat, several side by side.

A run's folder is named after what is trained and a digest of everything that decides its result.
It is trained by a process of ``python -m fg3d_builder.fgnet``, which goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

from fg3d_builder.config import digest
from fg3d_builder.files.atomic import write_json
from fg3d_builder.reproduction.variants import Dataset

LOG_NAME = "run.log"
FAILED_NAME = "failed.json"
DONE_NAME = "done.json"
LOCK_NAME = "run.lock"
LAST_LINES = 20
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Run:
    """One training, with its assessment on the test split that all rows share.

    Attributes
    ----------
    name : str
        What is trained, readable: the beginning of the folder's name.
    seed : int
    arguments : tuple of str
        Of ``python -m fg3d_builder.fgnet train``, without dataset, folder and face model.
    trained_on, tested_on : Dataset
    parent : Path
        Folder of all runs.
    inputs : Path, optional
        Folder of simulated inputs that trainings share.
    """

    name: str
    seed: int
    arguments: tuple[str, ...]
    trained_on: Dataset
    tested_on: Dataset
    parent: Path
    inputs: Path | None = None

    @property
    def folder(self) -> Path:
        """Folder of the training."""
        return self.parent / f"{self.name}-seed{self.seed}-{self.identity}"

    @cached_property
    def identity(self) -> str:
        """Digest of the training samples and of the whole configuration."""
        # torch is slow to import, and command lines are parsed without it.
        from fg3d_builder.fgnet.command import configuration, parser
        from fg3d_builder.fgnet.training.settings import config_table

        words = ["train", "dataset", "--out", "run", *self.arguments]
        config = configuration(parser().parse_args(words))
        return digest(self.trained_on.content_sha256, config_table(config))

    @property
    def own_assessment(self) -> Path:
        """The file that the training ends with: on the test split of what it was trained on."""
        return self.folder / "assessment-test" / "assessment.json"

    @property
    def assessment(self) -> Path:
        """Folder of the errors on the shared test split."""
        if self.trained_on == self.tested_on:
            return self.own_assessment.parent
        return self.folder / f"assessment-{self.tested_on.variant}-{self._tested_digits}"

    @property
    def result(self) -> Path:
        """The assessment's file; a run is finished when it is there."""
        return self.assessment / "assessment.json"

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.result.is_file()

    @property
    def commands(self) -> list[list[str]]:
        """Return the words of the commands: train, and assess where that is apart."""
        program = ["python", "-m", "fg3d_builder.fgnet"]
        train = [*program, "train", str(self.trained_on.folder), "--out", str(self.folder)]
        shared = [] if self.inputs is None else ["--inputs", str(self.inputs)]
        commands = [[*train, *self.arguments, *shared, *_facemodel(self.trained_on)]]
        if self.trained_on != self.tested_on:
            assess = [*program, "assess", str(self.tested_on.folder), str(self.folder)]
            device = self.arguments[self.arguments.index("--device") :][:2]
            commands.append(
                [*assess, "--out", str(self.assessment), *device, *_facemodel(self.tested_on)]
            )
        return commands

    @property
    def _tested_digits(self) -> str:
        return self.tested_on.content_sha256[:12]


class Outcome(NamedTuple):
    """What became of a run.

    Attributes
    ----------
    run : Run
    seconds : float
        That it took now; 0 where it was finished before.
    error : str
        The last line of its log where it failed, else empty.
    """

    run: Run
    seconds: float
    error: str


@dataclass(frozen=True)
class Workers:
    """How runs share a machine.

    Attributes
    ----------
    count : int
        Runs side by side.
    threads : int
        ``OMP_NUM_THREADS`` of each; on a CPU the weights depend on it in their last digits.
    gpus : int
        GPUs that runs are dealt to in turn; 0 leaves the choice to torch.
    """

    count: int
    threads: int
    gpus: int = 0


def run_all(
    runs: Sequence[Run], workers: Workers, say: Callable[[str], None]
) -> dict[Run, Outcome]:
    """Do all runs that are not finished; a failing one stops no other.

    Parameters
    ----------
    runs : sequence of Run
    workers : Workers
    say : callable
        Gets a line for a person after every run.
    """
    unfinished = [run for run in runs if not run.finished]
    outcomes = {run: Outcome(run, 0.0, "") for run in runs if run.finished}
    if outcomes:
        say(f"{len(outcomes)} of {len(runs)} trainings are finished already")
    processes = _Processes()
    began = time.monotonic()
    with _ended_with_us(processes), ThreadPoolExecutor(workers.count) as pool:
        slots = _Slots(workers.count)
        waiting = [pool.submit(_run_in_slot, run, workers, slots, processes) for run in unfinished]
        for number, future in enumerate(as_completed(waiting), 1):
            outcome = future.result()
            outcomes[outcome.run] = outcome
            left = (time.monotonic() - began) / number * (len(unfinished) - number) / 60.0
            say(_line(outcome, number, len(unfinished), left))
    return {run: outcomes[run] for run in runs}


def printed(words: Sequence[str], workers: Workers) -> str:
    """Return a command as a person types it."""
    return f"OMP_NUM_THREADS={workers.threads} {shlex.join(words)}"


def failure(run: Run) -> str:
    """Return the last line of a failed run's log; empty where it has not failed."""
    file = run.folder / FAILED_NAME
    if run.finished or not file.is_file():
        return ""
    lines = json.loads(file.read_text(encoding="utf-8"))["last_lines"]
    return str(lines[-1]) if lines else "no output"


class _Slots:
    """Numbers of the places that runs take side by side."""

    def __init__(self, count: int) -> None:
        self._free = list(range(count))
        self._lock = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[int]:
        with self._lock:
            slot = self._free.pop(0)
        try:
            yield slot
        finally:
            with self._lock:
                self._free.append(slot)


class _Processes:
    """Living children, so that they can be ended with this process."""

    def __init__(self) -> None:
        self._living: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self.ended = False

    def call(
        self, words: Sequence[str], log: IO[bytes], environment: dict[str, str], lock: int
    ) -> int:
        with self._lock:
            if self.ended:
                return -signal.SIGTERM
            # The lock's descriptor goes along: the run is taken as long as the child lives.
            child = subprocess.Popen(
                words, stdout=log, stderr=log, env=environment, pass_fds=(lock,)
            )
            self._living.add(child)
        try:
            return child.wait()
        finally:
            with self._lock:
                self._living.discard(child)

    def end(self) -> None:
        with self._lock:
            self.ended = True
            for child in self._living:
                child.terminate()


@contextmanager
def _ended_with_us(processes: _Processes) -> Iterator[None]:
    """End the children when this process is told to end; they go on from their checkpoints."""

    def stop(_number: int, _frame: Any) -> None:
        processes.end()
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)} if main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_in_slot(run: Run, workers: Workers, slots: _Slots, processes: _Processes) -> Outcome:
    with slots.taken() as slot:
        if processes.ended:
            return Outcome(run, 0.0, INTERRUPTED)
        environment = {**os.environ, "OMP_NUM_THREADS": str(workers.threads)}
        if workers.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = str(slot % workers.gpus)
        run.folder.mkdir(parents=True, exist_ok=True)
        with _locked(run.folder / LOCK_NAME) as lock:
            # Another process may have finished it while this one waited for the lock.
            if run.finished:
                return Outcome(run, 0.0, "")
            return _done(run, environment, processes, lock)


def _done(run: Run, environment: dict[str, str], processes: _Processes, lock: int) -> Outcome:
    began = time.monotonic()
    log, failed = run.folder / LOG_NAME, run.folder / FAILED_NAME
    failed.unlink(missing_ok=True)
    for words in run.commands:
        with log.open("ab") as file:
            file.write(f"$ {shlex.join(words)}\n".encode())
            file.flush()
            status = processes.call([sys.executable, *words[1:]], file, environment, lock)
        if status and processes.ended:
            return Outcome(run, time.monotonic() - began, INTERRUPTED)
        if status:
            lines = _last_lines(log)
            value = {"command": shlex.join(words), "status": status, "last_lines": lines}
            write_json(failed, value)
            return Outcome(run, time.monotonic() - began, lines[-1] if lines else "no output")
    seconds = time.monotonic() - began
    # Of the last of several attempts, where the training was interrupted.
    write_json(run.folder / DONE_NAME, {"seconds": seconds, **_about(run)})
    return Outcome(run, seconds, "")


def _about(run: Run) -> dict[str, Any]:
    sets = {"trained_on": run.trained_on, "tested_on": run.tested_on}
    tables = {name: dataclasses.asdict(dataset) for name, dataset in sets.items()}
    for table in tables.values():
        table["folder"], table["facemodel"] = str(table["folder"]), str(table["facemodel"] or "")
    return {"commands": [shlex.join(words) for words in run.commands], **tables}


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Hold a lock as long as this process, or one that it gave the descriptor to, lives."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _last_lines(log: Path) -> list[str]:
    text = log.read_text(encoding="utf-8", errors="replace")
    return [line for line in text.splitlines() if line.strip()][-LAST_LINES:]


def _line(outcome: Outcome, number: int, count: int, left_min: float) -> str:
    what = f"failed: {outcome.error}" if outcome.error else f"took {outcome.seconds:.0f} s"
    more = f"; about {left_min:.0f} min left" if number < count else ""
    return f"[{number}/{count}] {outcome.run.folder.name}: {what}{more}"


def _facemodel(dataset: Dataset) -> list[str]:
    return [] if dataset.facemodel is None else ["--facemodel", str(dataset.facemodel)]
