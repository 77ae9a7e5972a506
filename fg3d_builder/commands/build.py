"""Builds a dataset; the same as running the Luigi task `BuildFG3D`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from fg3d_builder.commands.arguments import MOST_WORKERS, folder_to_write, whole

DESCRIPTION = """\
Builds a dataset from a preset: reads every capture, registers it, turns it to other poses, makes
new faces from parts of it, and writes shards, a manifest and a report into build/NAME.

  fg3d build studio.toml --workers 8
  fg3d build studio.toml --out /data/studio

Run the same command again after any interruption: what is finished is kept. `fg3d new FOLDER`
writes a preset, `fg3d check PRESET` says what it would build. Exit status 1 where something could
not be built.
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
        "--workers", type=whole(1, MOST_WORKERS), default=1, help="processes; default 1"
    )
    command.add_argument(
        "--lean",
        action="store_true",
        help="drop products of stages that nothing of the build needs any more",
    )
    command.add_argument(
        "--scheduler-host", help="host of a central luigid, for builds on several machines"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Build a dataset; the same as running the Luigi task `BuildFG3D`.

    Returns
    -------
    int
        0 where everything is there; 1 where something failed; 2 where it cannot be begun; 130
        where a person stopped it.
    """
    from fg3d_builder.tasks.stopping import STATUS, STOPPED, end_children, stoppable

    try:
        with stoppable():
            return _build(options)
    except KeyboardInterrupt:
        end_children()
        print(f"fg3d: {STOPPED}", file=sys.stderr)
        return STATUS


def _build(options: argparse.Namespace) -> int:
    from fg3d_builder.files.locks import BuildRunningError, claim
    from fg3d_builder.tasks import BuildFG3D
    from fg3d_builder.tasks.running import run_tasks

    on_terminal = sys.stderr.isatty()
    _log_to_terminal(on_terminal)
    task = BuildFG3D(preset=str(options.preset), out=str(options.out or ""), lean=options.lean)
    try:
        if task.complete():  # says at once, and briefly, what is wrong with the preset
            return 0
        if not options.scheduler_host:
            claim(task.layout.lock)
    except BuildRunningError as error:
        print(f"fg3d: {error}", file=sys.stderr)
        return 2
    good = run_tasks([task], options.workers, options.scheduler_host or "", on_terminal)
    return 0 if good else 1


def _log_to_terminal(on_terminal: bool) -> None:
    from fg3d_builder.tasks.progress import TerminalHandler

    handler = TerminalHandler() if on_terminal else logging.StreamHandler()
    form, hours = "%(asctime)s %(message)s", "%H:%M:%S"
    logging.basicConfig(level=logging.WARNING, format=form, datefmt=hours, handlers=[handler])
    logging.getLogger("fg3d").setLevel(logging.INFO)
