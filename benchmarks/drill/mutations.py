"""Mutated files for every reader, each in a process with little memory and little time."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import time
import traceback
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from benchmarks.drill.mutate import mutated
from benchmarks.drill.outcomes import Outcome, Tally
from benchmarks.drill.readers import Reader

KIND = "mutations"
SECONDS = 2.0
"""Processor time that a reader may take for a file of a few kilobytes."""

WAITING_SECONDS = 60.0
"""After so long without an answer the process is taken for hung, and killed."""

MEMORY = 500 << 20
"""Bytes that a reader may take beyond what the process has when it begins."""


class _TooLongError(BaseException):
    """A reader takes too long; no reader may catch it."""


def run(readers: list[Reader], folder: Path, tally: Tally, count: int, seed: int) -> None:
    """Show every reader `count` mutated files; keep the files of findings below `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    for reader in readers:
        began = time.monotonic()
        _Show(reader, folder, tally, seed).run(count)
        part = tally.counts[KIND][reader.name]
        print(f"  {reader.name}: {dict(part)}, {time.monotonic() - began:.0f} s", flush=True)


class _Show:
    """One reader and all of its mutated files."""

    def __init__(self, reader: Reader, folder: Path, tally: Tally, seed: int) -> None:
        self._reader, self._tally, self._seed = reader, tally, seed
        name = "".join(c if c.isalnum() else "-" for c in reader.name)
        self._kept, self._place = folder / name, folder / f"{name}-work"
        self._known: set[tuple[str, str]] = set()

    def run(self, count: int) -> None:
        """Go through the cases in processes of their own; one that dies is replaced."""
        next_case = 0
        while next_case < count:
            next_case = self._batch(next_case, count)
        shutil.rmtree(self._place, ignore_errors=True)

    def _batch(self, first: int, count: int) -> int:
        """Run cases from `first` on in one process; return the case to go on with."""
        receive, send = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(receive)
            with contextlib.suppress(BaseException):
                self._cases(first, count, send)
            os.kill(os.getpid(), signal.SIGKILL)  # nothing of the parent's is to be done at its end
        os.close(send)
        done, hung = first, False
        try:
            for case, outcome, what, under in _received(receive):
                self._count(case, Outcome(outcome), what, under)
                done = case + 1
        except TimeoutError:
            hung = True
        os.close(receive)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if done < count:
            code = os.waitstatus_to_exitcode(status)
            what = "no answer: it hangs" if hung else f"the process died with {code}"
            self._count(done, Outcome.BLOCKED if hung else Outcome.TRACEBACK, what, what)
            done += 1
        return done

    def _count(self, case: int, outcome: Outcome, what: str, under: str) -> None:
        text = f"case {case} of reader '{self._reader.name}', seed {self._seed}"
        if outcome is not Outcome.RIGHT:
            kept = self._kept / str(case)
            if (outcome.value, under) not in self._known:
                self._known.add((outcome.value, under))
                self._remake(case, kept)
            text += f": {kept}"
        self._tally.add(KIND, self._reader.name, outcome, what, text, under=under)

    def _remake(self, case: int, folder: Path) -> None:
        """Write the input of a case again, for whoever mends the reader."""
        folder.mkdir(parents=True)
        _mutate_file(self._reader, self._reader.make(folder), case, self._seed)

    def _cases(self, first: int, count: int, send: int) -> None:
        """Run cases in this process and send their outcomes."""
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir(parents=True)
        path = self._reader.make(self._place)
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        wanted = self._reader.read(path)
        valid = {p: p.read_bytes() for p in self._place.rglob("*") if p.is_file()}
        signal.signal(signal.SIGPROF, _stop)
        signal.signal(signal.SIGALRM, _stop)
        _limit_memory()
        for case in range(first, count):
            for file, data in valid.items():
                if not file.is_file() or file == path:
                    file.write_bytes(data)
            for file in self._place.rglob("*"):
                if file.is_file() and file not in valid:
                    file.unlink()
            _mutate_file(self._reader, path, case, self._seed)
            outcome, what, under = self._outcome(path, wanted)
            line = json.dumps([case, outcome.value, what[:600], under[:300]]) + "\n"
            os.write(send, line.encode())

    def _names(self, path: Path) -> set[str]:
        """Names of the files that an error may be about: points of a scan name the scan's own."""
        return {path.name, *(p.name for p in self._place.rglob("*") if p.is_file())}

    def _outcome(self, path: Path, wanted: Any) -> tuple[Outcome, str, str]:
        reader = self._reader
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WAITING_SECONDS / 3)
        try:
            try:
                problem = reader.wrong(reader.read(path), wanted)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.setitimer(signal.ITIMER_REAL, 0)
        except _TooLongError as error:
            place = _place(error)
            return Outcome.BLOCKED, f"more than {SECONDS:g} s, at {place}", place
        except reader.errors as error:
            if type(error) in reader.errors or isinstance(error, (DOCUMENTED)):
                if any(name in str(error) for name in self._names(path)):
                    return Outcome.RIGHT, "", ""
                place = _place(error)
                return Outcome.UNCLEAR, f"does not name the file: {error} at {place}", place
            return _undocumented(error)
        except BaseException as error:
            return _undocumented(error)
        return (Outcome.SILENT, problem, problem) if problem else (Outcome.RIGHT, "", "")


DOCUMENTED = (ValueError,)
"""Where a reader documents it, its own kinds (such as UnicodeDecodeError) are judged by words."""


def _undocumented(error: BaseException) -> tuple[Outcome, str, str]:
    place, kind = _place(error), type(error).__name__
    if isinstance(error, MemoryError):
        return Outcome.BLOCKED, f"more than {MEMORY >> 20} MB, at {place}: {error}", place
    return Outcome.TRACEBACK, f"{kind} at {place}: {error}", f"{kind} at {place}"


def _mutate_file(reader: Reader, path: Path, case: int, seed: int) -> None:
    rng = np.random.default_rng([seed, case, zlib.crc32(reader.name.encode())])
    if reader.mutate is not None and rng.random() < 0.5:
        reader.mutate(path, rng)
    else:
        path.write_bytes(mutated(path.read_bytes(), reader.form, rng))


def _place(error: BaseException) -> str:
    """Return the last place of our own code that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "fg3d_builder" in f.filename] or frames
    last = ours[-1]
    return f"{'/'.join(Path(last.filename).parts[-3:])}:{last.name}"


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _TooLongError


def _limit_memory() -> None:
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    now = next(int(x.split()[1]) for x in text.splitlines() if x.startswith("VmSize")) << 10
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _received(answers: int) -> Iterator[tuple[int, str, str, str]]:
    """Yield outcomes until the process ends.

    Raises
    ------
    TimeoutError
        It does not answer.
    """
    rest = b""
    while select.select([answers], [], [], WAITING_SECONDS)[0]:
        data = os.read(answers, 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            case, outcome, what, under = json.loads(line)
            yield case, outcome, what, under
    raise TimeoutError
