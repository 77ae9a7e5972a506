"""A capture whose work ends the whole process is tried again alone, and then left out.

Compiled libraries crash: they end the process, with all captures of the chunk in it, and the system
does so where memory runs out. Beside the product that is being made stands therefore which capture
is worked on. Whoever makes the product next, a moment later or when the command is given again,
finds it there, and has this capture worked on in a process of its own. If that ends as well, the
capture has failed; otherwise, as where the whole machine was switched off, nothing has happened.
Where a person stops a build in good order, no capture is suspected.
"""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import luigi

from fg3d_builder.files.own_package import finds_this_package
from fg3d_builder.pipeline.augmentation import capture_of
from fg3d_builder.pipeline.each_capture import StageResult, Watcher
from fg3d_builder.records import Failure
from fg3d_builder.report.paper import message_card
from fg3d_builder.tasks.base import log

SUFFIX = ".at"
"""Ends the name of the file that says what is worked on; beside the product."""

CRASHED = "crashed"
KILLED = "out_of_memory"
"""Codes of failures of captures that end their process."""

_CRASHES = {
    getattr(signal, f"SIG{name}") for name in ("SEGV", "ABRT", "BUS", "FPE", "ILL", "SYS", "TRAP")
}
"""Signals that a program brings upon itself; all others but ``SIGKILL`` come from somebody."""


class Journal(Watcher):
    """Keeps in a file which capture of a task is worked on, and isolates those that are suspect.

    All new shapes of a capture are suspect where one is: what crashes is often what they share, and
    they would end one process each.

    Parameters
    ----------
    task : luigi.Task
        Makes the product; its method ``result`` is run for one capture where that is suspect.
    product : Path
    """

    def __init__(self, task: luigi.Task, product: Path) -> None:
        self._task, self._file = task, product.with_suffix(SUFFIX)
        self.suspects = set(suspects_in(self._file))

    def apart(self, stage: str, name: str, subject: str) -> StageResult[Any] | None:
        """Work on a suspect in a process of its own.

        Raises
        ------
        RuntimeError
            The process ended before it began to work, or somebody ended it.
        """
        if capture_of(name) not in map(capture_of, self.suspects):
            return None
        log.warning("%s: work on it was broken off (%s); it is tried alone", name, stage)
        self._write("")
        start = time.perf_counter()
        found = work_alone(self._task, name)
        if isinstance(found, StageResult):
            return found
        code, how = found
        text = f"its process {how} ({stage}), and again when it was worked on alone"
        result: StageResult[Any] = StageResult()
        result.failures.append(Failure(name, subject, stage, code, text))
        result.pictures[name] = message_card([f"{name}: {code}", text], height=140, width=640)
        result.seconds[name] = time.perf_counter() - start
        return result

    def begin(self, name: str) -> None:
        """Write down that a capture is worked on."""
        self._write(name)

    def end(self, result: StageResult[Any]) -> None:
        """Write down that it has ended: whatever ends the process now, no capture is to blame."""
        self._write("")

    def close(self) -> None:
        """Forget what was worked on; those that were suspect before stay so."""
        self._write("")

    def remove(self) -> None:
        """Remove the file: the product is there."""
        self._file.unlink(missing_ok=True)

    def _write(self, name: str) -> None:
        """Write down what is worked on; nothing where `name` is empty."""
        if not name and not self.suspects:
            self.remove()
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        # Neither whole-or-nothing nor on the disk at once: it outlives a process, not the system.
        self._file.write_text(json.dumps({"at": name, "suspects": sorted(self.suspects)}))


def forget_work_on(product: Path) -> None:
    """Take back what was worked on when a process ended that was told to: it is not suspect.

    Parameters
    ----------
    product : Path
        That nobody makes any more.
    """
    file = product.with_suffix(SUFFIX)
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        suspects = json.loads(file.read_text())["suspects"]
        if suspects:
            file.write_text(json.dumps({"at": "", "suspects": suspects}))
        else:
            file.unlink()


def suspects_in(file: Path) -> Iterable[str]:
    """Return the captures that an earlier process may have ended by; none where that is unclear."""
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        known = json.loads(file.read_text())
        return [name for name in (known["at"], *known["suspects"]) if name]
    return []


def work_alone(task: luigi.Task, name: str) -> StageResult[Any] | tuple[str, str]:
    """Run a task's ``result`` for one capture in a process of its own.

    Returns
    -------
    StageResult, or code and words
        The latter of a failure: how the process ended.

    Raises
    ------
    RuntimeError
        It ended before it began to work, or somebody ended it.
    Exception
        What the work raised.
    """
    with tempfile.TemporaryDirectory(prefix="fg3d-alone-") as folder:
        begun, outcome = Path(folder, "begun"), Path(folder, "outcome")
        order = [task.task_module, task.task_family, task.to_str_params(), name, folder]
        done = subprocess.run(
            command(json.dumps(order)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=finds_this_package(),
            check=False,
        )
        if outcome.is_file():  # whole, however the process ended afterwards
            found = pickle.loads(outcome.read_bytes())
            if isinstance(found, Exception):
                raise found
            return found
        how = _how(done.returncode)
        if not begun.is_file() or _ended_by_somebody(done.returncode):
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise RuntimeError(f"{name}: could not be tried alone: its process {how} {said}")
    return KILLED if -done.returncode == signal.SIGKILL else CRASHED, how


def command(order: str) -> list[str]:
    """Return the command that carries an order out, see `tasks.alone`."""
    return [sys.executable, "-m", "fg3d_builder.tasks.alone", order]


def _ended_by_somebody(status: int) -> bool:
    return status < 0 and -status not in {*_CRASHES, signal.SIGKILL}


def _how(status: int) -> str:
    if -status == signal.SIGKILL:
        return "was killed by SIGKILL, as the system does when memory runs out"
    if status < 0:
        name = signal.Signals(-status).name
        return f"crashed in a library ({name})" if -status in _CRASHES else f"was ended by {name}"
    return f"ended with status {status}"
