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
        "--scheduler-host", help="host of a central luigid, for builds on several machines"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Build a dataset; the same as running the Luigi task `BuildFG3D`."""
    import luigi

    from fg3d_builder.files.locks import BuildRunningError, claim
    from fg3d_builder.review.review_list import read_review_list
    from fg3d_builder.tasks import BuildFG3D
    from fg3d_builder.tasks.chunks import list_chunks

    task = BuildFG3D(preset=str(options.preset), out=str(options.out or ""))
    try:
        layout = task.layout
        list_chunks(layout.config)  # says at once, and briefly, what is wrong with the preset
        read_review_list(layout.review_list)
        if not options.scheduler_host:
            claim(layout.lock)
    except BuildRunningError as error:
        print(f"fg3d: {error}", file=sys.stderr)
        return 2
    _log_to_terminal()
    luigi.configuration.get_config().set("core", "no_configure_logging", "true")
    result = luigi.build(
        [task],
        local_scheduler=not options.scheduler_host,
        scheduler_host=options.scheduler_host or "localhost",
        workers=options.workers,
        detailed_summary=True,
    )
    return 0 if result.scheduling_succeeded else 1


def _log_to_terminal() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("fg3d").setLevel(logging.INFO)
    logging.getLogger("luigi-interface").setLevel(logging.WARNING)
    logging.getLogger("luigi").setLevel(logging.WARNING)
