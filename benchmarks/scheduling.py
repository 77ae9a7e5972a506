"""What it costs to hand a task out: Luigi's scheduler, ours, processes of Luigi's, a Dask cluster.

The tasks make an empty file each, in chunks of five that follow one another, as stages do.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import luigi
import psutil

from fg3d_builder.tasks.base import BuildTask
from fg3d_builder.tasks.dask_engine import local_cluster, run_on_dask
from fg3d_builder.tasks.running import run_tasks

STAGES = 5


class Empty(BuildTask):
    """A stage of a chunk that makes an empty file."""

    chunk = luigi.IntParameter()
    stage = luigi.IntParameter()

    @property
    def priority(self) -> int:  # type: ignore[override]
        return int(self.stage)

    @property
    def file(self) -> Path:
        return Path(self.root) / f"{self.chunk}-{self.stage}"

    def complete(self) -> bool:
        return self.file.is_file()

    def requires(self) -> list[luigi.Task]:
        return [self.other(Empty, chunk=self.chunk, stage=s) for s in range(self.stage)]

    def run(self) -> None:
        self.file.touch()


class All(BuildTask):
    """Needs the last stage of every chunk."""

    chunks = luigi.IntParameter()

    @property
    def file(self) -> Path:
        return Path(self.root) / "all"

    def complete(self) -> bool:
        return self.file.is_file()

    def requires(self) -> list[luigi.Task]:
        return [self.other(Empty, chunk=c, stage=STAGES - 1) for c in range(self.chunks)]

    def run(self) -> None:
        self.file.touch()


def cost(name: str, tasks: int, run: Callable[[luigi.Task], bool]) -> None:
    """Print what a task costs where `run` runs them: time that passes, and processor time."""
    start, used = time.perf_counter(), _used_s()
    run_all(tasks, run)
    passed, used = time.perf_counter() - start, _used_s() - used
    print(
        f"| {name} | {tasks} | {1e3 * passed / tasks:.1f} | {1e3 * used / tasks:.1f} |", flush=True
    )


def run_all(tasks: int, run: Callable[[luigi.Task], bool]) -> None:
    """Run tasks in a folder of their own.

    Raises
    ------
    RuntimeError
        Not all have run.
    """
    luigi.task_register.Register.clear_instance_cache()
    with tempfile.TemporaryDirectory() as root:
        if not run(All(root=root, config="none", chunks=tasks // STAGES)):
            raise RuntimeError("not all tasks have run")


def _used_s() -> float:
    """Processor time of this process and of those that it has started and waited for, s."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def by_luigi_alone(task: luigi.Task) -> bool:
    """Run a task and what it needs in this process, as Luigi does it by itself."""
    return bool(luigi.build([task], local_scheduler=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--run", type=int, default=500, help="tasks of the rows with processes")
    options = parser.parse_args()
    run_all(STAGES, lambda task: run_tasks([task], 1))  # sets what Luigi may say
    print("| | tasks | ms a task | processor ms a task |\n|---|---|---|---|")
    for tasks in options.tasks:
        cost("Luigi's scheduler, one process", tasks, by_luigi_alone)
        cost("ours, one process", tasks, lambda task: run_tasks([task], 1))
    cost("ours, two processes of Luigi's", options.run, lambda task: run_tasks([task], 2))
    with local_cluster(2) as client:
        run_all(10, lambda task: run_on_dask([task], client))  # the workers import what they need
        name = "two Dask workers; of the coordinating process alone"
        cost(name, options.run, lambda task: run_on_dask([task], client))


if __name__ == "__main__":
    main()
