"""Tasks that do what they are told to; for tests of what runs tasks."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import luigi

from fg3d_builder.errors import ConfigError
from fg3d_builder.layout import BuildLayout
from fg3d_builder.tasks.base import BuildTask, log, pending

NAP_S = 0.5

LOADED: list[int] = []
"""Processes in which something was loaded before this one was forked from them."""


class Step(BuildTask):
    """A task that does what it is told to, and says by a file that it was done."""

    does = luigi.Parameter(default="")
    after = luigi.Parameter(default="")

    @property
    def file(self) -> Path:
        return Path(self.root) / f"done-{self.does}-{self.after}"

    @property
    def layout(self) -> BuildLayout:  # type: ignore[override]
        raise RuntimeError("a test has no layout")

    def complete(self) -> bool:
        if self.does == "unplanned":
            raise RuntimeError("cannot tell")
        return self.file.is_file()

    def preload(self) -> None:
        LOADED.append(os.getpid())
        if self.does == "unloadable":
            raise RuntimeError("nothing to load")

    def requires(self) -> list[luigi.Task]:
        return [self.other(Step, does=name) for name in self.after.split(",") if name]

    def run(self) -> None:
        if self.does == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.does == "killed once":
            self._die_once()
        if self.does.startswith("sleeps"):
            Path(self.root, f"begun {self.does}").touch()
            time.sleep(60.0)
        if self.does.startswith("nap"):
            time.sleep(NAP_S)
        if self.does == "warns":
            log.warning("a word of warning")
        if self.does == "refused":
            raise ConfigError("sources: nothing there")
        if self.does == "never":
            with Path(self.root, "made").open("a") as file:
                file.write("x")
            return
        if self.does == "spoils":
            self.other(Step, does="first").file.unlink()
        if self.does == "inherits":
            self.file.write_text(f"{os.getpid()} {LOADED}")
            return
        if self.does == "asks":
            self.file.write_text(str(luigi.interface.core().local_scheduler))
            return
        self.file.write_text(str(os.getpid()))

    def _die_once(self) -> None:
        mark = Path(self.root, "has died")
        if not mark.is_file():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Asker(BuildTask):
    """A task that asks for steps while it runs, and ends when they are done."""

    count = luigi.IntParameter()

    @property
    def file(self) -> Path:
        return Path(self.root, "answered")

    def complete(self) -> bool:
        return self.file.is_file()

    def steps(self) -> list[Step]:
        return [self.other(Step, does=f"nap {number}") for number in range(self.count)]

    def asks_for(self) -> list[luigi.Task]:
        return [*pending(self.steps())]

    def run(self) -> Iterator[Any]:
        todo = self.asks_for()
        if todo:
            yield todo
        self.file.touch()


def step(tmp_path: Path, does: str, after: str = "") -> Step:
    luigi.task_register.Register.clear_instance_cache()
    return Step(root=str(tmp_path), config="none", does=does, after=after)
