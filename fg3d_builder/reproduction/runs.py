"""Training runs of an experiment's rows, as Luigi tasks.

Each has a folder, named after what is trained and a digest of everything that decides its result,
and commands that a person can repeat.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import luigi

from fg3d_builder.config import digest, to_table, toml_text
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.reproduction.setting import Setting, show
from fg3d_builder.reproduction.tables import FULL_VIEW, Experiment, Recipe
from fg3d_builder.reproduction.variants import Dataset
from fg3d_builder.tasks.training import (
    FAILED_NAME,
    EvaluateFGNet,
    NetworkTask,
    interruptible,
    last_failure,
)


def runs_of_rows(
    experiment: Experiment, setting: Setting, datasets: Mapping[str, Dataset]
) -> dict[str, list[EvaluateFGNet]]:
    """Return the runs of each row that is trained, one per seed.

    Parameters
    ----------
    experiment : Experiment
    setting : Setting
    datasets : mapping of variant to Dataset
    """
    return {
        row.name: [make_run(row.recipe, seed, setting, datasets) for seed in setting.seeds]
        for row in experiment.rows
        if row.recipe is not None
    }


def make_run(
    recipe: Recipe, seed: int, setting: Setting, datasets: Mapping[str, Dataset]
) -> EvaluateFGNet:
    """Return one run, with its assessment on the test split that all rows share."""
    # torch is slow to import, and command lines are parsed without it.
    from fg3d_builder.fgnet.training.settings import preset_with_changes

    trained_on, tested_on = datasets[recipe.variant], datasets[FULL_VIEW]
    file, table = settings_of(recipe, setting)
    config = dataclasses.replace(preset_with_changes(table, str(file)), seed=seed)
    identity = digest(trained_on.content_sha256, to_table(config))
    return EvaluateFGNet(
        dataset=str(trained_on.folder),
        other_dataset="" if trained_on == tested_on else str(tested_on.folder),
        settings=str(file),
        seed=seed,
        run_folder=str(setting.out / "runs" / f"{recipe.name}-seed{seed}-{identity}"),
        facemodel=str(trained_on.facemodel or ""),
        inputs=str(setting.out / "inputs") if setting.scale.shares_inputs else "",
        device=setting.device,
        threads=setting.threads,
        quiet=True,
    )


def settings_of(recipe: Recipe, setting: Setting) -> tuple[Path, dict[str, Any]]:
    """Return the file that keeps the settings of a recipe, and the settings, without a seed."""
    table = recipe.settings(setting.scale, setting.shapes_made, setting.device)
    return setting.out / "settings" / f"{recipe.name}-{digest(table)}.toml", table


def write_settings(experiment: Experiment, setting: Setting) -> None:
    """Write the settings of all rows that are trained."""
    for row in experiment.rows:
        if row.recipe is not None:
            file, table = settings_of(row.recipe, setting)
            about = f"{row.recipe.name} at scale {setting.scale.name}"
            write_bytes(file, toml_text(table, about).encode())


def train_all(runs: Sequence[EvaluateFGNet], setting: Setting) -> None:
    """Do all runs that are not complete; a failing one stops no other.

    Luigi does `setting.workers` of them side by side, in the given order. GPUs are dealt to them
    in turn.
    """
    waiting = [run for run in runs if not run.complete()]
    if len(waiting) < len(runs):
        show(f"{len(runs) - len(waiting)} of {len(runs)} training runs are finished already")
    for run in waiting:
        (run.folder / FAILED_NAME).unlink(missing_ok=True)
    began = time.monotonic()

    def on_end(task: NetworkTask, _error: BaseException | None = None) -> None:
        failed = last_failure(task.folder)
        if isinstance(task, EvaluateFGNet) or failed:
            show(_line(task.folder.name, failed, waiting, time.monotonic() - began))

    handlers = {luigi.Event.SUCCESS: on_end, luigi.Event.FAILURE: on_end}
    settings = luigi.configuration.get_config()
    settings.set("core", "no_configure_logging", "true")
    logging.getLogger("luigi-interface").setLevel(logging.CRITICAL)
    gpus = setting.gpus
    for gpu in range(gpus):
        settings.set("resources", f"gpu-{gpu}", str(math.ceil(setting.workers / gpus)))
    tasks = [run.clone(gpu=i % gpus) if gpus else run for i, run in enumerate(waiting)]
    for event, handler in handlers.items():
        NetworkTask.event_handler(event)(handler)
    try:
        with interruptible():
            luigi.build(tasks, workers=setting.workers, local_scheduler=True)
    finally:
        for event, handler in handlers.items():
            NetworkTask.remove_event_handler(event, handler)


def printed(words: Sequence[str], threads: int) -> str:
    """Return a command as a person types it; on a CPU the weights' last digits need `threads`."""
    return f"OMP_NUM_THREADS={threads} {shlex.join(['fg3d', *words])}"


def _line(name: str, failed: str, runs: Sequence[EvaluateFGNet], seconds: float) -> str:
    done = sum(run.result().is_file() or bool(last_failure(run.folder)) for run in runs)
    left = seconds / done * (len(runs) - done) / 60.0
    more = f"; about {left:.0f} min left" if done < len(runs) else ""
    return f"[{done}/{len(runs)}] {name}: {f'failed: {failed}' if failed else 'finished'}{more}"
