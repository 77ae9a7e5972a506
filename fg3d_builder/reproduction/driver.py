"""From the command line to pages: datasets, training runs, comparisons."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

from fg3d_builder.config import BuildConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.files.locks import BuildRunningError, claim
from fg3d_builder.reproduction.figures import save_picture
from fg3d_builder.reproduction.published import planned_evaluations, published_pages
from fg3d_builder.reproduction.results import collect
from fg3d_builder.reproduction.runs import printed, runs_of_rows, train_all, write_settings
from fg3d_builder.reproduction.setting import Setting, read_setting, show
from fg3d_builder.reproduction.tables import (
    EXPERIMENTS,
    FULL_VIEW,
    PUBLISHED,
    PUBLISHED_NAMES,
    SET_NAMES,
    Experiment,
)
from fg3d_builder.reproduction.variants import BuildFailedError, Dataset
from fg3d_builder.reproduction.writing import setting_lines, verdict_line, write_experiment
from fg3d_builder.shards.manifest import MANIFEST_NAME, read_manifest
from fg3d_builder.tasks.training import EvaluateFGNet, last_failure


class Plan(NamedTuple):
    """Datasets by variant, and runs by the names of experiment and row.

    Attributes
    ----------
    datasets : dict of str to Dataset
    runs : dict of str to dict of str to list of EvaluateFGNet
    """

    datasets: dict[str, Dataset]
    runs: dict[str, dict[str, list[EvaluateFGNet]]]

    @property
    def ordered(self) -> list[EvaluateFGNet]:
        """Each run once; first the first seed of every row, so that pages fill evenly."""
        each = [run for rows in self.runs.values() for runs in rows.values() for run in runs]
        return sorted(dict.fromkeys(each), key=lambda run: run.seed)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    setting = read_setting(options)
    experiments = chosen(options, setting.config)
    plan = Plan({}, {})
    try:
        if setting.acts:
            claim(setting.out / "experiments.lock")
        if not options.checkpoint:
            plan = planned(experiments, setting)
    except (BuildFailedError, BuildRunningError) as error:
        sys.stderr.write(f"fg3d: {error}\n")
        return 1
    if options.dry_run:
        show_plan(plan, experiments, setting)
        return 0
    return carry_out(plan, experiments, setting)


def chosen(options: argparse.Namespace, config: BuildConfig) -> list[Experiment]:
    """Return the experiments that are named; Table 5 and Fig. 17 are one.

    Raises
    ------
    ConfigError
        Options that do not belong to the named ones, or are missing.
    """
    names = list(dict.fromkeys("table5" if n in PUBLISHED_NAMES else n for n in options.names))
    sets = [name for name in SET_NAMES if getattr(options, name)]
    if "table5" in names and not sets:
        wanted = ", ".join(f"--{name} FOLDER" for name in SET_NAMES)
        raise ConfigError(f"table5, fig17: name at least one of {wanted}; see docs/protocols.md")
    if "table5" not in names and (sets or options.method or options.checkpoint):
        raise ConfigError("test sets, --method and --checkpoint belong to table5 and fig17")
    if options.checkpoint and names != ["table5"]:
        raise ConfigError("--checkpoint replaces the training runs of table5 and fig17 alone")
    return [PUBLISHED if n == "table5" else EXPERIMENTS[n](config) for n in names]


def needed_variants(experiments: Sequence[Experiment]) -> list[str]:
    """Return the variants that the rows train on, and the one that all are tested on."""
    recipes = [row.recipe for e in experiments for row in e.rows if row.recipe is not None]
    return list(dict.fromkeys([FULL_VIEW, *(recipe.variant for recipe in recipes)]))


def check_shapes(experiments: Sequence[Experiment], dataset: Dataset) -> None:
    """Refuse to compare shapes that could not be made: a few subjects have none to give.

    Raises
    ------
    ConfigError
        An experiment trains on transformed shapes, and the dataset is there and has none.
    """
    recipes = {e.name: [row.recipe for row in e.rows if row.recipe] for e in experiments}
    wanting = [name for name, found in recipes.items() if any(r.shapes for r in found)]
    if not wanting or not (dataset.folder / MANIFEST_NAME).is_file():
        return
    train = read_manifest(dataset.folder)["splits"]["train"]
    if train["shapes"] <= train["captures"]:
        raise ConfigError(
            f"{', '.join(wanting)}: {dataset.folder} holds no transformed shapes; they need five "
            "training subjects"
        )


def planned(experiments: Sequence[Experiment], setting: Setting) -> Plan:
    """Have the datasets built, unless nothing is to be done, and make the runs of all rows."""
    needed, variants = needed_variants(experiments), setting.variants
    if setting.acts:
        datasets = variants.ensure(needed, setting.workers, show)
    else:
        datasets = {variant: variants.expected(variant) for variant in needed}
    check_shapes(experiments, datasets[FULL_VIEW])
    return Plan(datasets, {e.name: runs_of_rows(e, setting, datasets) for e in experiments})


def show_plan(plan: Plan, experiments: Sequence[Experiment], setting: Setting) -> None:
    """Print what would be run."""
    variants = setting.variants
    missing = [variant for variant in plan.datasets if variants.find(variant) is None]
    for variant in missing:
        show(variants.command(variant, setting.workers))
    if missing:
        show("# names of folders follow from the datasets, so that these are not the final ones")
    unfinished = [run for run in plan.ordered if not run.complete()]
    for run in unfinished:
        for words in run.commands():
            show(printed(words, setting.threads))
    if PUBLISHED in experiments:
        published = [run for runs in plan.runs.get(PUBLISHED.name, {}).values() for run in runs]
        for evaluation in planned_evaluations(published, setting):
            show(evaluation.command)
    done = len(plan.ordered) - len(unfinished)
    show(
        f"# {len(plan.ordered)} training runs, {done} of them finished; "
        f"{setting.workers} side by side, {setting.threads} threads each"
    )
    if setting.scale.minutes:
        hours = len(unfinished) * setting.scale.minutes / setting.workers / 60.0
        show(f"# about {hours:.1f} h on a machine as in docs/experiments.md")


def carry_out(plan: Plan, experiments: Sequence[Experiment], setting: Setting) -> int:
    """Train, then write every page; return the exit status.

    Raises
    ------
    KeyboardInterrupt
        Training was stopped; pages have what is finished.
    """
    for experiment in experiments if plan.runs else ():
        write_settings(experiment, setting)
    try:
        if setting.acts:
            train_all(plan.ordered, setting)
    except KeyboardInterrupt:
        show("stopped; what is finished is written")
        for experiment in experiments:
            if experiment is not PUBLISHED:  # whose page takes evaluations
                write_pages(experiment, plan, setting)
        raise
    good = True
    for experiment in experiments:
        if experiment is PUBLISHED:
            show(f"\n{experiment.title}")
            facts = setting_lines(setting, plan.datasets)
            good &= published_pages(plan.runs.get(experiment.name, {}), setting, facts)
        else:
            write_pages(experiment, plan, setting)
    unfinished = [run for run in plan.ordered if not run.complete()]
    for run in unfinished:
        if failure := last_failure(run.folder):
            show(f"failed: {run.folder}: {failure}")
    return 0 if good and not unfinished else 1


def write_pages(experiment: Experiment, plan: Plan, setting: Setting) -> None:
    """Write the page, the CSV files and the picture of one experiment; print where they are."""
    result = collect(experiment, plan.runs[experiment.name])
    datasets = {v: plan.datasets[v] for v in needed_variants([experiment])}
    paths = write_experiment(result, setting, datasets, _again(experiment, setting.options))
    show(f"\n{experiment.title}")
    for verdict in result.verdicts:
        show(f"  {verdict_line(verdict)}")
    for path in (*paths, save_picture(result, setting.scale.name, setting.out)):
        show(str(path))


def _again(experiment: Experiment, options: argparse.Namespace) -> str:
    words = ["fg3d", "experiments", experiment.name, "--scale", options.scale]
    named = ("preset", "build", "out", "seeds", "epochs", "samples", "test_samples", "device")
    for name in named:
        value = getattr(options, name)
        words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
