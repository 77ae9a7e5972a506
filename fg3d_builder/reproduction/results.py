"""Brings the rows of one experiment together: errors, failures and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fg3d_builder.evaluation.comparison import SeedSpread
from fg3d_builder.fgnet.training.names import (
    ASSESSMENT_NAME,
    FIT,
    KEYS,
    PREDICTED,
    assessment_folder,
)
from fg3d_builder.files.sealed_object import read_sealed_object
from fg3d_builder.records import Array
from fg3d_builder.reproduction.statistics import (
    Verdict,
    column_mean,
    judge,
    spread_over_seeds,
    starts_alike,
    stated_gap,
)
from fg3d_builder.reproduction.tables import BASELINES, DACE, NME, Column, Experiment, Row
from fg3d_builder.tasks.training import EvaluateFGNet, last_failure

SUFFIX = {NME: "", DACE: "_dace"}
"""Ends the keys of an assessment's errors, which begin with the method's of `KEYS`."""


@dataclass(frozen=True)
class RowResult:
    """What is known of one row.

    Attributes
    ----------
    row : Row
    runs : tuple of EvaluateFGNet
    errors : dict of measure to dict of seed to (s,) float64
        Fractions of the interocular distance, for each run that is finished.
    means : dict of column title to dict of seed to float
        Over the samples of the column; NaN where there are none.
    spread : dict of column title to SeedSpread or None
        Spread of the means over seeds; None where nothing is known.
    training_samples : int
        0 for the baselines, and where no run is finished.
    failures : dict of seed to str
        Last line of the log of each run that failed.
    """

    row: Row
    runs: tuple[EvaluateFGNet, ...]
    errors: dict[str, dict[int, Array]]
    means: dict[str, dict[int, float]]
    spread: dict[str, SeedSpread | None]
    training_samples: int
    failures: dict[int, str]

    @property
    def seeds(self) -> list[int]:
        """Seeds whose run is finished."""
        return sorted(self.errors[NME])


@dataclass(frozen=True)
class ExperimentResult:
    """One table or figure, as far as its runs are finished.

    Attributes
    ----------
    experiment : Experiment
    rows : tuple of RowResult
    verdicts : tuple of Verdict
    samples, subjects : int
        Size of the test split.
    """

    experiment: Experiment
    rows: tuple[RowResult, ...]
    verdicts: tuple[Verdict, ...]
    samples: int
    subjects: int

    @property
    def shown_columns(self) -> list[Column]:
        """Columns that hold a figure, ours or the paper's."""
        return [
            column
            for column in self.experiment.columns
            if any(r.spread[column.title] or column.title in r.row.paper for r in self.rows)
        ]


def collect(
    experiment: Experiment, runs: Mapping[str, Sequence[EvaluateFGNet]]
) -> ExperimentResult:
    """Read what the runs of an experiment have left, and judge the paper's claims.

    Parameters
    ----------
    experiment : Experiment
    runs : mapping of row's name to its runs, one per seed

    Raises
    ------
    ValueError
        An assessment by an older version, or on other samples than the others.
    """
    each = [run for of_row in runs.values() for run in of_row]
    found = {run: read_assessment(run.result()) for run in each if run.complete()}
    one = next(iter(found.values()), {})
    for run, table in found.items():
        if not np.array_equal(table["sample_id"], one["sample_id"]):
            raise ValueError(f"{run.folder.name} was tested on other samples than other runs")
    yaw_deg, subjects = one.get("yaw_deg", np.zeros(0)), one.get("subject_id", np.zeros(0, str))
    rows = {}
    for row in experiment.rows:
        of_row = runs.get(row.name, ())
        tested = {run.seed: found[run] for run in of_row if run in found}
        if row.recipe is None:
            # The fit is the same before every run, the others on the samples of the last row.
            source = each if row.name == FIT else runs.get(experiment.rows[-1].name, ())
            tested = {run.seed: found[run] for run in source if run in found}
        rows[row.name] = _row_result(row, of_row, tested, experiment.columns)
    verdicts = []
    for claim in experiment.claims:
        low, high = rows[claim.better], rows[claim.worse]
        better, worse = (row.errors[claim.column.measure] for row in (low, high))
        paired = starts_alike(low.row.recipe, high.row.recipe)
        stated = stated_gap(low.row, high.row, claim.column)
        verdicts.append(judge(claim, better, worse, subjects, yaw_deg, paired, stated))
    size = len(subjects), len(set(subjects.tolist()))
    return ExperimentResult(experiment, tuple(rows.values()), tuple(verdicts), *size)


def read_assessment(file: Path) -> dict[str, Array]:
    """Read the assessment of a run: arrays (s,) by key.

    ``sample_id`` and ``subject_id`` are str, ``yaw_deg`` and the errors of all methods, by the
    keys that `KEYS` and `SUFFIX` make, float64; errors are fractions of the interocular distance.

    Raises
    ------
    ValueError
        It lacks a key; names it.
    """
    rows = read_sealed_object(file)["samples"]
    errors = [KEYS[m] + suffix for m in (*BASELINES, PREDICTED) for suffix in SUFFIX.values()]
    keys = ("sample_id", "subject_id", "yaw_deg", *errors)
    try:
        return {key: np.array([row[key] for row in rows]) for key in keys}
    except KeyError as error:
        raise ValueError(
            f"{file} has no {error}: an older version wrote it; remove it, so that it is made anew"
        ) from None


def read_training_samples(run: Path) -> int:
    """Return how many samples a network was trained on, given the folder of its run."""
    file = assessment_folder(run) / ASSESSMENT_NAME
    return int(read_sealed_object(file)["about"]["training_samples"])


def _row_result(
    row: Row,
    runs: Sequence[EvaluateFGNet],
    tested: Mapping[int, dict[str, Array]],
    columns: Sequence[Column],
) -> RowResult:
    """Gather a row, given the assessments by seed."""
    method = KEYS[PREDICTED if row.recipe else row.name]
    errors = {
        measure: {seed: table[method + suffix] for seed, table in tested.items()}
        for measure, suffix in SUFFIX.items()
    }
    means = {
        column.title: {
            seed: column_mean(values, tested[seed]["yaw_deg"], column)
            for seed, values in errors[column.measure].items()
        }
        for column in columns
    }
    samples = [read_training_samples(run.folder) for run in runs if run.seed in tested]
    failures = {run.seed: last_failure(run.folder) for run in runs if run.seed not in tested}
    return RowResult(
        row=row,
        runs=tuple(runs),
        errors=errors,
        means=means,
        spread={title: spread_over_seeds(list(m.values())) for title, m in means.items()},
        training_samples=max(samples, default=0),
        failures={seed: text for seed, text in failures.items() if text},
    )
