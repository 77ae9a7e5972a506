"""Builds a dataset; the same as running the Luigi task `BuildFG3D`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from fg3d_builder.commands.arguments import MOST_WORKERS, folder_to_write, whole
from fg3d_builder.commands.saying import say
from fg3d_builder.guidance import page_for_error

DESCRIPTION = """\
Builds a dataset from a preset: reads every capture, registers it, turns it to other poses, makes
new faces from parts of it, and writes shards, a manifest and a report into build/NAME.

  fg3d build studio.toml --workers 8
  fg3d build studio.toml --out /data/studio
  fg3d build studio.toml --engine dask --scheduler-file /data/dask.json      on a cluster

Run the same command again after any interruption: what is finished is kept. `fg3d new FOLDER`
writes a preset, `fg3d check PRESET` says what it would build, `fg3d status build/NAME` how far it
is and what failed, also while it runs. Exit status 1 where something could not be built.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "build",
        help="build a dataset from a preset",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "preset", nargs="?", type=Path, default=Path("tasks/demo.toml"), help="TOML file"
    )
    command.add_argument(
        "--out", type=folder_to_write, help="folder of the build; default build/NAME"
    )
    command.add_argument(
        "--workers", type=whole(1, MOST_WORKERS), help="processes on this machine; default 1"
    )
    command.add_argument(
        "--lean",
        action="store_true",
        help="drop products of stages that nothing of the build needs any more",
    )
    command.add_argument(
        "--scheduler-host", help="host of a central luigid, for builds on several machines"
    )
    command.add_argument(
        "--engine",
        choices=("luigi", "dask"),
        default="luigi",
        help="what runs the tasks: processes of Luigi, or a Dask cluster; default luigi",
    )
    command.add_argument(
        "--dask-scheduler", metavar="ADDRESS", help="tcp://host:port of a Dask cluster's scheduler"
    )
    command.add_argument(
        "--scheduler-file",
        type=Path,
        metavar="FILE",
        help="file that a Dask cluster's scheduler has written, in place of its address",
    )
    command.set_defaults(run=run, goes_on=True)


def run(options: argparse.Namespace) -> int:
    """Build a dataset; the same as running the Luigi task `BuildFG3D`.

    Returns
    -------
    int
        0 where everything is there; 1 where something failed; 2 where it cannot be begun.
    """
    from fg3d_builder.files.locks import BuildRunningError, claim
    from fg3d_builder.tasks import BuildFG3D
    from fg3d_builder.tasks.begun import luigi_options
    from fg3d_builder.tasks.running import run_tasks

    problem = _contradiction(options)
    if problem:
        say(problem)
        return 2
    on_terminal = sys.stderr.isatty()
    _log_to_terminal(on_terminal)
    task = BuildFG3D(preset=str(options.preset), out=str(options.out or ""), lean=options.lean)
    try:
        if task.complete():  # says at once, and briefly, what is wrong with the preset
            return 0
        if not options.scheduler_host:
            claim(task.layout.lock)
    except BuildRunningError as error:
        say(str(error), page_for_error(error))
        return 2
    if options.engine == "dask":
        return _build_on_dask(options, task, on_terminal)
    workers, host = options.workers or 1, options.scheduler_host or ""
    task.engine = tuple(luigi_options(workers, host))
    good = run_tasks([task], workers, host, on_terminal)
    return 0 if good else 1


def _build_on_dask(options: argparse.Namespace, task: Any, on_terminal: bool) -> int:
    from fg3d_builder.tasks.dask_engine import existing_cluster, local_cluster, run_on_dask
    from fg3d_builder.tasks.workers import EngineLostError

    address, file = options.dask_scheduler or "", options.scheduler_file
    # Written down, see `tasks.begun`, for whoever goes on from another folder.
    where = {"--dask-scheduler": address, "--scheduler-file": os.path.abspath(file) if file else ""}
    where["--workers"] = str(options.workers or "")
    given = [word for name, value in where.items() if value for word in (name, value)]
    task.engine = ("--engine", "dask", *given)
    cluster: AbstractContextManager[Any]
    if address or file:
        cluster = existing_cluster(address, file)
    else:
        cluster = local_cluster(options.workers or 1)
    try:
        with cluster as client:
            return 0 if run_on_dask([task], client, on_terminal) else 1
    except EngineLostError as error:
        say(str(error), page_for_error(error))
        return 2


def _contradiction(options: argparse.Namespace) -> str:
    """Say which options do not go together; empty where all do."""
    clusters = [
        name for name in ("dask_scheduler", "scheduler_file") if getattr(options, name) is not None
    ]
    named = [f"--{name.replace('_', '-')}" for name in clusters]
    if options.engine == "luigi" and named:
        return f"{named[0]} needs --engine dask"
    if options.engine == "dask" and options.scheduler_host is not None:
        return "--scheduler-host is a luigid's; a Dask cluster has --dask-scheduler"
    if len(named) > 1:
        return f"{' and '.join(named)} name one cluster: give one of them"
    if named and options.workers is not None:
        return f"--workers is for this machine alone; the cluster of {named[0]} has its own"
    return ""


def _log_to_terminal(on_terminal: bool) -> None:
    from fg3d_builder.tasks.progress import TerminalHandler

    handler = TerminalHandler() if on_terminal else logging.StreamHandler()
    form, hours = "%(asctime)s %(message)s", "%H:%M:%S"
    logging.basicConfig(level=logging.WARNING, format=form, datefmt=hours, handlers=[handler])
    logging.getLogger("fg3d").setLevel(logging.INFO)
