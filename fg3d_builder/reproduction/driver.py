"""From the command line to pages: datasets, trainings, comparisons."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

from fg3d_builder.config import BuildConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.reproduction.collecting import collect
from fg3d_builder.reproduction.figures import save_picture
from fg3d_builder.reproduction.published import published_pages
from fg3d_builder.reproduction.runs import Run, failure, printed, run_all
from fg3d_builder.reproduction.setting import Setting, read_setting
from fg3d_builder.reproduction.tables import (
    ALL_SHAPES,
    EXPERIMENTS,
    FULL_VIEW,
    PUBLISHED,
    PUBLISHED_NAMES,
    SET_NAMES,
    Experiment,
)
from fg3d_builder.reproduction.variants import BuildFailedError, Dataset
from fg3d_builder.reproduction.writing import setting_lines, verdict_lines, write_experiment
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
    setting = read_setting(options)
    experiments = chosen(options, setting.config)
    plan = Plan({}, [])
    if not options.checkpoint:
        needed = needed_variants(experiments)
        if setting.acts:
            try:
                datasets = setting.variants.ensure(needed, setting.workers.count, say)
            except BuildFailedError as error:
                sys.stderr.write(f"fg3d: {error}\n")
                return 1
        else:
            datasets = {variant: setting.variants.expected(variant) for variant in needed}
        check_shapes(experiments, datasets[FULL_VIEW])
        plan = planned(experiments, setting, datasets)
    if options.dry_run:
        tell(plan, experiments, setting)
        return 0
    return carried_out(plan, experiments, setting)


def chosen(options: argparse.Namespace, config: BuildConfig) -> list[Experiment]:
    """Return the experiments that are named; Table 5 and Fig. 17 are one.

    Raises
    ------
    ConfigError
        Options that do not belong to the named ones, or lack.
    """
    names = list(dict.fromkeys("table5" if n in PUBLISHED_NAMES else n for n in options.names))
    sets = [name for name in SET_NAMES if getattr(options, name)]
    if "table5" in names and not sets:
        wanted = ", ".join(f"--{name} FOLDER" for name in SET_NAMES)
        raise ConfigError(f"table5, fig17: name at least one of {wanted}; see docs/protocols.md")
    if "table5" not in names and (sets or options.method or options.checkpoint):
        raise ConfigError("test sets, --method and --checkpoint belong to table5 and fig17")
    if options.checkpoint and names != ["table5"]:
        raise ConfigError("--checkpoint stands for trainings of table5 and fig17 alone")
    return [PUBLISHED if n == "table5" else EXPERIMENTS[n](config) for n in names]


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
    experiments: Sequence[Experiment], setting: Setting, datasets: dict[str, Dataset]
) -> Plan:
    """Make the runs of all rows and seeds; equal ones are one."""
    made, scale = setting.config.transform.shapes_per_capture, setting.scale
    inputs = setting.out / "inputs" if scale.shares_inputs else None
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
                    arguments=training.arguments(scale, shapes, seed, setting.device),
                    trained_on=datasets[training.variant],
                    tested_on=datasets[FULL_VIEW],
                    parent=setting.out / "runs",
                    inputs=inputs,
                )
                for seed in setting.seeds
            ]
    each = [run for rows in runs.values() for trainings in rows.values() for run in trainings]
    unique = {run.folder: run for run in each}
    return Plan(runs, sorted(unique.values(), key=lambda run: run.seed))


def tell(plan: Plan, experiments: Sequence[Experiment], setting: Setting) -> None:
    """Print what would be run."""
    variants, workers = setting.variants, setting.workers
    if plan.ordered:
        missing = [v for v in needed_variants(experiments) if variants.find(v) is None]
        for variant in missing:
            say(shlex.join(variants.command(variant, workers.count)))
        if missing:
            say("# names of folders follow from the datasets, so that these are not the final ones")
    unfinished = [run for run in plan.ordered if not run.finished]
    for run in unfinished:
        for words in run.commands:
            say(printed(words, workers))
    if PUBLISHED in experiments:
        published_pages(plan.runs.get(PUBLISHED.name, {}), setting, [], say)
    done = len(plan.ordered) - len(unfinished)
    say(
        f"# {len(plan.ordered)} trainings, {done} of them finished; "
        f"{workers.count} side by side, {workers.threads} threads each"
    )
    if setting.scale.minutes:
        hours = len(unfinished) * setting.scale.minutes / workers.count / 60.0
        say(f"# about {hours:.1f} h on a machine as in docs/experiments.md")


def carried_out(plan: Plan, experiments: Sequence[Experiment], setting: Setting) -> int:
    """Train, then write every page, also after an interruption; return the exit status."""
    try:
        if setting.acts:
            run_all(plan.ordered, setting.workers, say)
    except KeyboardInterrupt:
        say("interrupted: the same command goes on; what is finished is written")
    good = True
    for experiment in experiments:
        if experiment is PUBLISHED:
            say(f"\n{experiment.title}")
            facts = setting_lines(setting.scale, setting.preset, plan.ordered)
            good &= published_pages(plan.runs.get(experiment.name, {}), setting, facts, say)
        else:
            write_pages(experiment, plan, setting)
    failed = [run for run in plan.ordered if failure(run)]
    for run in failed:
        say(f"failed: {run.folder}: {failure(run)}")
    return 0 if good and all(run.finished for run in plan.ordered) else 1


def write_pages(experiment: Experiment, plan: Plan, setting: Setting) -> None:
    """Write the page, the CSV files and the picture of one experiment; say where they are."""
    runs, workers = plan.runs[experiment.name], setting.workers
    result = collect(experiment, setting.scale, setting.preset, runs)
    builds = {
        variant: shlex.join(setting.variants.command(variant, workers.count))
        for variant in needed_variants([experiment])
    }
    again = _again(experiment, setting.options)
    paths = write_experiment(result, setting.out, workers, builds, again)
    say(f"\n{experiment.title}")
    for line in verdict_lines(result.verdicts):
        say(f"  {line}")
    for path in (*paths, save_picture(result, setting.out)):
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
