"""Runs the real command line in forks of a process that has everything imported and compiled.

Importing costs more than building the drill's small world. ``python -m benchmarks.drill.commands``
imports once, builds the world once so that compiled functions are loaded, and then forks for each
command that it is sent: every command is a process group of its own that runs `cli.main` as the
entry point does, and ends as any Python program ends.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.drill.outcomes import Ended

TIME_LIMIT = 240.0
"""Seconds after which a command counts as blocked; the slowest takes a tenth on idle cores."""


MEMORY = 2 << 30
"""Bytes that a command may take beyond what is imported."""


@dataclass
class Running:
    """A command that was started; its process group has the number of its process."""

    server: Server
    pid: int
    log: Path
    began: float

    def wait(self, seconds: float = TIME_LIMIT) -> Ended:
        """Wait for the end, and return it; after `seconds` the group is killed."""
        over = self.ends_within(seconds)
        if not over:
            self.kill()
            self.ends_within(60.0)
        status = self.server.status_of(self.pid)
        self.kill()  # what it has left behind
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return Ended(status if over else None, text, time.monotonic() - self.began)

    def ends_within(self, seconds: float) -> bool:
        """Wait up to `seconds`; tell whether it has ended."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([descriptor], [], [], max(seconds, 0.0))[0])
        finally:
            os.close(descriptor)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def workers(self) -> list[int]:
        """Return the numbers of its child processes that still run."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError):
                state, parent, *_ = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                if int(parent) == self.pid and state not in "ZX":
                    found.append(int(folder.name))
        return sorted(found)


class Server:
    """The process that forks; ends with the `with` block."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._number = folder, 0
        folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.drill.commands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def warm(self, words: Sequence[str]) -> None:
        """Run a command in the server itself, so that what it compiles is there for all."""
        self._ask({"warm": list(words)})

    def start(self, words: Sequence[str], environment: Mapping[str, str] | None = None) -> Running:
        """Start ``fg3d`` with these words."""
        self._number += 1
        log = self._folder / f"{self._number:05d}.txt"
        request = {"words": list(words), "log": str(log), "environment": dict(environment or {})}
        return Running(self, int(self._ask(request)["pid"]), log, time.monotonic())

    def run(self, words: Sequence[str], environment: Mapping[str, str] | None = None) -> Ended:
        """Run ``fg3d`` with these words to its end."""
        return self.start(words, environment).wait()

    def status_of(self, pid: int) -> int:
        """Return the exit status of a command that has ended; negative for a signal."""
        return int(self._ask({"status": pid})["status"])

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the process that forks the commands has died")
        found: dict[str, Any] = json.loads(answer)
        return found


def _serve(requests: Any, answers: int) -> list[str]:
    """Answer requests; return the words of the command, in the fork that is to run them."""
    for line in requests:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        if "warm" in request:
            _warm(request["warm"])
        elif "status" in request:
            _, status = os.waitpid(request["status"], 0)
            answer = {"status": os.waitstatus_to_exitcode(status)}
        else:
            pid = os.fork()
            if not pid:
                requests.close()
                os.close(answers)
                _become(request)
                words: list[str] = request["words"]
                return words
            answer = {"pid": pid}
        os.write(answers, (json.dumps(answer) + "\n").encode())
    raise SystemExit(0)


def _become(request: Mapping[str, Any]) -> None:
    """Be a process of its own, as a shell would start it."""
    os.setsid()
    nothing, log = os.open(os.devnull, os.O_RDONLY), request["log"]
    os.dup2(nothing, 0)
    written = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND, 0o644)
    os.dup2(written, 1)
    os.dup2(written, 2)
    os.close(nothing)
    os.close(written)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # A command that reads without end must not take the machine's memory.
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    os.environ.update(request["environment"])


def _warm(words: list[str]) -> None:
    import logging

    import luigi

    from fg3d_builder import cli

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        if cli.main(words):
            raise SystemExit("drill: the undisturbed build fails")
    # As in a process that has run nothing: no task is known, nothing is logged anywhere.
    luigi.task_register.Register.clear_instance_cache()
    for handler in list(logging.getLogger().handlers):
        logging.getLogger().removeHandler(handler)
    gc.freeze()


def main() -> None:
    """Serve; in each fork, run one command as the entry point does."""
    import luigi  # noqa: F401
    import torch

    from fg3d_builder import cli
    from fg3d_builder.fgnet import session  # noqa: F401
    from fg3d_builder.tasks import BuildFG3D  # noqa: F401

    torch.set_num_threads(1)
    requests, answers = os.fdopen(os.dup(0)), os.dup(1)
    os.dup2(2, 1)
    words = _serve(requests, answers)
    sys.argv = ["fg3d", *words]
    cli.entry_point()


if __name__ == "__main__":
    main()
