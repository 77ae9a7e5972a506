"""What state a training run is in, seen from its folder; nothing is written."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fg3d_builder.fgnet.training.checkpoint import checkpoint_config, newest_checkpoint
from fg3d_builder.fgnet.training.log import read_log, watched_split
from fg3d_builder.fgnet.training.names import (
    ASSESSMENT_NAME,
    BEFORE_NAME,
    BEGUN_NAME,
    CHECKPOINT_NAME,
    CONFIG_NAME,
    LOG_NAME,
    assessment_folder,
)
from fg3d_builder.fgnet.training.settings import read_settings
from fg3d_builder.files.sealed_object import read_sealed_object, write_sealed_object

UNKNOWN_DATASET = "DATASET"
"""Stands in a command for a dataset that is not known."""


@dataclass(frozen=True)
class RunStatus:
    """How far a training run is, how good its network is, and how it goes on.

    Attributes
    ----------
    folder : str
        Absolute path.
    complete : bool
        Whether all epochs are trained and, where the dataset has a test split, assessed.
    epoch, epochs : int
        Done, and in all.
    step : int
        Steps done.
    steps : int, optional
        In all; None before the first epoch has ended.
    watched : str, optional
        Split that the training measures its errors on: ``"val"`` or ``"test"``.
    best_nme : float, optional
        Lowest NME on that split of all epochs that looked at it, a fraction of the interocular
        distance, and ``best_epoch``, at whose end that was.
    best_epoch : int, optional
    fit_nme, network_nme : float, optional
        Means of the 3DMM fit and of the network in the assessment at the end.
    damaged : tuple of str
        Checkpoints that do not fit their seals.
    saved_s : float
        When the newest checkpoint was written, in seconds since 1970; 0 where there is none.
    next : str
        The command to give next.
    """

    folder: str
    complete: bool
    epoch: int
    epochs: int
    step: int
    steps: int | None
    watched: str | None
    best_nme: float | None
    best_epoch: int | None
    fit_nme: float | None
    network_nme: float | None
    damaged: tuple[str, ...]
    saved_s: float
    next: str

    def as_json(self) -> dict[str, Any]:
        """Return all of it in JSON values."""
        return {"kind": "training", **asdict(self)}


def note_dataset(
    run: Path, dataset: Path, facemodel: Path | None, inputs: Path | None, test_samples: int
) -> None:
    """Keep what a run is given, so that it can be said how it goes on; paths become absolute.

    Without `test_samples`, of the dataset's test split, it ends without an assessment.
    """
    given = {"dataset": dataset, "facemodel": facemodel, "inputs": inputs}
    paths = {name: os.path.abspath(path) if path else "" for name, path in given.items()}
    write_sealed_object(run / BEGUN_NAME, {**paths, "test_samples": test_samples})


def run_status(run: Path) -> RunStatus:
    """Look at a training run.

    Parameters
    ----------
    run : Path
        Its folder, see `names.is_run`.

    Raises
    ------
    ConfigError, ValueError
        Settings or checkpoints of another version.
    """
    state, damaged = newest_checkpoint(run / CHECKPOINT_NAME)
    config = (
        read_settings(run / CONFIG_NAME)
        if state is None
        else checkpoint_config(state, run / CHECKPOINT_NAME)
    )
    done: dict[str, Any] = {"epoch": 0, "batch": 0, "step": 0}
    done |= state["progress"] if state else {}
    epoch, step = int(done["epoch"]), int(done["step"])
    steps = (step - int(done["batch"])) // epoch * config.epochs if epoch else None
    rows = read_log(run / LOG_NAME)
    watched = watched_split(rows)
    nme = f"{watched}_nme"
    measured = [row for row in rows if watched is not None and math.isfinite(row[nme])]
    best = min(measured, key=lambda row: row[nme], default=None)
    means, given = _assessed(run), _given(run)
    # Who did not note the number of test samples has watched the test split, where there is one.
    will_be_assessed = bool(given.get("test_samples", measured))
    complete = epoch >= config.epochs and (means is not None or not will_be_assessed)
    return RunStatus(
        folder=os.path.abspath(run),
        complete=complete,
        epoch=epoch,
        epochs=config.epochs,
        step=step,
        steps=steps,
        watched=watched,
        best_nme=None if best is None else best[nme],
        best_epoch=None if best is None else int(best["epoch"]),
        fit_nme=None if means is None else means[0],
        network_nme=None if means is None else means[1],
        damaged=tuple(str(path) for path in damaged),
        saved_s=_saved(run, damaged),
        next=_next(run, given, complete),
    )


def _assessed(run: Path) -> tuple[float, float] | None:
    """Return the mean errors of fit and network; None before the assessment is there."""
    try:
        found = read_sealed_object(assessment_folder(run) / ASSESSMENT_NAME)
        return float(found["mean_fit"]), float(found["mean_predicted"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _saved(run: Path, damaged: list[Path]) -> float:
    files = [run / name for name in (CHECKPOINT_NAME, BEFORE_NAME)]
    sound = [file for file in files if file.is_file() and file not in damaged]
    return max((file.stat().st_mtime for file in sound), default=0.0)


def _given(run: Path) -> dict[str, Any]:
    """Return what `note_dataset` kept; nothing where that is not there, or damaged."""
    try:
        return read_sealed_object(run / BEGUN_NAME)
    except (FileNotFoundError, ValueError):
        return {}


def _next(run: Path, given: Mapping[str, Any], complete: bool) -> str:
    folder = os.path.abspath(run)
    if complete:
        return shlex.join(["fg3d", "predict", "PHOTO", "--checkpoint", f"{folder}/checkpoint.pt"])
    words = ["fg3d", "train", given.get("dataset") or UNKNOWN_DATASET, "--out", folder]
    words += ["--settings", f"{folder}/{CONFIG_NAME}"]
    for name in ("facemodel", "inputs"):
        words += [f"--{name}", given[name]] if given.get(name) else []
    return shlex.join(words)
