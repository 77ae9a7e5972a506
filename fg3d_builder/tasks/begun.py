"""How a build was begun, kept in its folder, so that it can be said how it goes on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fg3d_builder.config import preset_file
from fg3d_builder.files.sealed import read_sealed_as, write_sealed_json
from fg3d_builder.layout import BuildLayout
from fg3d_builder.tasks.base import if_there


@dataclass(frozen=True)
class Begun:
    """How the last build of a configuration was begun.

    Attributes
    ----------
    preset : str
        Absolute path of the preset's file.
    options : sequence of str
        Those of ``fg3d build`` besides ``--out``: what runs the tasks, and whether it is lean.
    workers : int
        Processes that work side by side.
    verdicts : str
        Digest of the verdicts that it works by, see `review.freeze_verdicts`; empty where that was
        not written down.
    """

    preset: str
    options: Sequence[str]
    workers: int
    verdicts: str = ""


def build_command(preset: str, root: Path, options: Sequence[str]) -> str:
    """Return the line to paste that builds a preset in the folder `root`; see `Begun`."""
    return shlex.join(["fg3d", "build", preset, "--out", str(root), *options])


def luigi_options(workers: int, scheduler_host: str) -> list[str]:
    """Return the options of ``fg3d build`` for processes of Luigi.

    `scheduler_host` is that of a central ``luigid``, or empty.
    """
    options = ["--workers", str(workers)] if workers > 1 else []
    return options + (["--scheduler-host", scheduler_host] if scheduler_host else [])


def note_begun(
    layout: BuildLayout, preset: str, options: Sequence[str], workers: int, verdicts: str
) -> None:
    """Keep how a build is begun.

    Parameters
    ----------
    layout : BuildLayout
    preset : str
        Any path that `load_preset` takes.
    options, workers, verdicts
        See `Begun`.
    """
    begun = Begun(os.path.abspath(preset_file(Path(preset))), list(options), workers, verdicts)
    write_sealed_json(layout.begun, asdict(begun))


def read_begun(layout: BuildLayout) -> Begun | None:
    """Return how the last build of a configuration was begun; None where that is not known."""
    return if_there(lambda: read_sealed_as(layout.begun, lambda table: Begun(**table)))
