"""From the command line to pages: datasets, trainings, comparisons."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fg3d_builder.config import BuildConfig, load_preset
from fg3d_builder.errors import ConfigError
from fg3d_builder.experiments.collecting import collect
from fg3d_builder.experiments.figures import save_picture
from fg3d_builder.experiments.runs import Run, Workers, failure, printed, run_all
from fg3d_builder.experiments.scales import SCALES, Scale
from fg3d_builder.experiments.tables import ALL_SHAPES, EXPERIMENTS, FULL_VIEW, Experiment
from fg3d_builder.experiments.variants import BuildFailedError, Dataset, Variants
from fg3d_builder.experiments.writing import verdict_lines, write_experiment
from fg3d_builder.layout import default_root
from fg3d_builder.shards.manifest import MANIFEST_NAME
from fg3d_builder.shards.reader import read_manifest


class Plan(NamedTuple):
    """What is to be run.

    Attributes
    ----------
    runs : dict of experiment's name to dict of row's name to list of Run
    ordered : list of Run
        Each once; first the first seed of every row, so that pages fill evenly.
    """

    runs: dict[str, dict[str, list[Run]]]
    ordered: list[Run]


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    scale = SCALES[options.scale]
    preset = scale.preset(options.preset)
    config = load_preset(preset)
    seeds = scale.seeds if options.seeds is None else options.seeds
    if seeds < 1:
        raise ConfigError(f"--seeds: {seeds}, wanted at least 1")
    out = options.out or Path("build/experiments") / f"{config.name}-{scale.name}"
    variants = Variants(config, options.build or default_root(config), out)
    experiments = [EXPERIMENTS[name](config) for name in dict.fromkeys(options.names)]
    device, workers = machine(scale, options.device, options.workers)
    if device == "cuda" and not workers.gpus and not options.dry_run and not options.no_training:
        raise ConfigError(f"scale '{scale.name}' wants a GPU and torch finds none; see --device")
    needed = needed_variants(experiments)
    if options.dry_run or options.no_training:
        datasets = {variant: variants.expected(variant) for variant in needed}
    else:
        try:
            datasets = variants.ensure(needed, workers.count, say)
        except BuildFailedError as error:
            sys.stderr.write(f"fg3d: {error}\n")
            return 1
    check_shapes(experiments, datasets[FULL_VIEW])
    plan = planned(experiments, scale, config, datasets, range(seeds), device, out)
    if options.dry_run:
        tell(plan, variants, needed, workers, scale)
        return 0
    return carried_out(plan, experiments, options, scale, preset, variants, workers, out)


def machine(scale: Scale, named: str | None, count: int | None) -> tuple[str, Workers]:
    """Decide on which device trainings run, how many side by side, with how many threads."""
    import torch

    device = named or scale.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    cores = len(os.sched_getaffinity(0))
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    side_by_side = count or gpus or cores
    if side_by_side < 1:
        raise ConfigError(f"--workers: {count}, wanted at least 1")
    threads = scale.threads or max(1, cores // side_by_side)
    return device, Workers(side_by_side, threads, gpus)


def needed_variants(experiments: Sequence[Experiment]) -> list[str]:
    """Return the variants that the rows train on, and the one that all are tested on."""
    trainings = [row.training for e in experiments for row in e.rows if row.training is not None]
    return list(dict.fromkeys([FULL_VIEW, *(training.variant for training in trainings)]))


def check_shapes(experiments: Sequence[Experiment], dataset: Dataset) -> None:
    """Refuse to compare shapes that could not be made: a few subjects have none to give.

    Raises
    ------
    ConfigError
        An experiment trains on transformed shapes, and the dataset is there and has none.
    """
    trainings = {e.name: [row.training for row in e.rows if row.training] for e in experiments}
    wanting = [name for name, ts in trainings.items() if any(t.shapes for t in ts)]
    if not wanting or not (dataset.folder / MANIFEST_NAME).is_file():
        return
    train = read_manifest(dataset.folder)["splits"]["train"]
    if train["shapes"] <= train["captures"]:
        raise ConfigError(
            f"{', '.join(wanting)}: {dataset.folder} holds no transformed shapes; they need five "
            "training subjects"
        )


def planned(
    experiments: Sequence[Experiment],
    scale: Scale,
    config: BuildConfig,
    datasets: dict[str, Dataset],
    seeds: Sequence[int],
    device: str,
    out: Path,
) -> Plan:
    """Make the runs of all rows and seeds; equal ones are one."""
    made = config.transform.shapes_per_capture
    inputs = out / "inputs" if scale.shares_inputs else None
    runs: dict[str, dict[str, list[Run]]] = {}
    for experiment in experiments:
        rows = runs.setdefault(experiment.name, {})
        for row in experiment.rows:
            training = row.training
            if training is None:
                continue
            shapes = made if training.shapes == ALL_SHAPES else training.shapes
            rows[row.name] = [
                Run(
                    name=training.name,
                    seed=seed,
                    arguments=training.arguments(scale, shapes, seed, device),
                    trained_on=datasets[training.variant],
                    tested_on=datasets[FULL_VIEW],
                    parent=out / "runs",
                    inputs=inputs,
                )
                for seed in seeds
            ]
    each = [run for rows in runs.values() for trainings in rows.values() for run in trainings]
    unique = {run.folder: run for run in each}
    return Plan(runs, sorted(unique.values(), key=lambda run: run.seed))


def tell(
    plan: Plan, variants: Variants, needed: Sequence[str], workers: Workers, scale: Scale
) -> None:
    """Print what would be run."""
    missing = [variant for variant in needed if variants.find(variant) is None]
    for variant in missing:
        say(shlex.join(variants.command(variant, workers.count)))
    if missing:
        say("# names of folders follow from the datasets, so that these are not the final ones")
    unfinished = [run for run in plan.ordered if not run.finished]
    for run in unfinished:
        for words in run.commands:
            say(printed(words, workers))
    say(
        f"# {len(plan.ordered)} trainings, {len(plan.ordered) - len(unfinished)} of them finished; "
        f"{workers.count} side by side, {workers.threads} threads each"
    )
    if scale.minutes:
        hours = len(unfinished) * scale.minutes / workers.count / 60.0
        say(f"# about {hours:.1f} h on a machine as in docs/experiments.md")


def carried_out(
    plan: Plan,
    experiments: Sequence[Experiment],
    options: argparse.Namespace,
    scale: Scale,
    preset: Path,
    variants: Variants,
    workers: Workers,
    out: Path,
) -> int:
    """Train, then write every page, also after an interruption; return the exit status."""
    try:
        if not options.no_training:
            run_all(plan.ordered, workers, say)
    except KeyboardInterrupt:
        say("interrupted: the same command goes on; what is finished is written")
    for experiment in experiments:
        write_pages(experiment, plan, options, scale, preset, variants, workers, out)
    failed = [run for run in plan.ordered if failure(run)]
    for run in failed:
        say(f"failed: {run.folder}: {failure(run)}")
    return 0 if all(run.finished for run in plan.ordered) else 1


def write_pages(
    experiment: Experiment,
    plan: Plan,
    options: argparse.Namespace,
    scale: Scale,
    preset: Path,
    variants: Variants,
    workers: Workers,
    out: Path,
) -> None:
    """Write the page, the CSV files and the picture of one experiment; say where they are."""
    result = collect(experiment, scale, preset, plan.runs[experiment.name])
    builds = {
        variant: shlex.join(variants.command(variant, workers.count))
        for variant in needed_variants([experiment])
    }
    paths = write_experiment(result, out, workers, builds, _again(experiment, options))
    say(f"\n{experiment.title}")
    for line in verdict_lines(result.verdicts):
        say(f"  {line}")
    for path in (*paths, save_picture(result, out)):
        say(str(path))


def say(text: str) -> None:
    """Print a line at once, also into a file."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _again(experiment: Experiment, options: argparse.Namespace) -> str:
    words = ["fg3d", "experiments", experiment.name, "--scale", options.scale]
    for name in ("preset", "build", "out", "seeds", "device"):
        value = getattr(options, name)
        words += [] if value is None else [f"--{name}", str(value)]
    return shlex.join(words)
