"""Brings the rows of one experiment together: errors, failures and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fg3d_builder.evaluation.comparison import SeedSpread
from fg3d_builder.records import Array
from fg3d_builder.reproduction.results import (
    Assessed,
    check_same_samples,
    read_assessment,
    read_training_samples,
)
from fg3d_builder.reproduction.runs import Run, failure
from fg3d_builder.reproduction.scales import Scale
from fg3d_builder.reproduction.statistics import (
    Verdict,
    column_mean,
    judge,
    spread_over_seeds,
)
from fg3d_builder.reproduction.tables import DACE, NME, Column, Experiment, Row


@dataclass(frozen=True)
class RowResult:
    """What is known of one row.

    Attributes
    ----------
    row : Row
    errors : dict of measure to dict of seed to (s,) float64
        Fractions of the interocular distance, of the trainings that are finished.
    means : dict of column title to dict of seed to float
        Over the samples of the column; NaN where there are none.
    spread : dict of column title to SeedSpread or None
        Of the means over seeds; None where nothing is known.
    training_samples : int
        0 for the fit, and where no training is finished.
    failures : dict of seed to str
        Last line of the log of each training that failed.
    runs : tuple of Run
    """

    row: Row
    errors: dict[str, dict[int, Array]]
    means: dict[str, dict[int, float]]
    spread: dict[str, SeedSpread | None]
    training_samples: int
    failures: dict[int, str]
    runs: tuple[Run, ...]

    @property
    def seeds(self) -> list[int]:
        """Seeds whose training is finished."""
        return sorted(self.errors[NME])


@dataclass(frozen=True)
class ExperimentResult:
    """One table or figure, as far as its trainings are finished.

    Attributes
    ----------
    experiment : Experiment
    scale : Scale
    preset : Path
        Of the captures.
    rows : tuple of RowResult
    verdicts : tuple of Verdict
    samples, subjects : int
        Of the test split.
    """

    experiment: Experiment
    scale: Scale
    preset: Path
    rows: tuple[RowResult, ...]
    verdicts: tuple[Verdict, ...]
    samples: int
    subjects: int

    @property
    def shown_columns(self) -> list[Column]:
        """Columns that hold a figure, ours or the paper's."""
        rows = self.rows
        return [
            column
            for column in self.experiment.columns
            if any(r.spread[column.title] or column.title in r.row.paper for r in rows)
        ]


def collect(
    experiment: Experiment, scale: Scale, preset: Path, runs: Mapping[str, Sequence[Run]]
) -> ExperimentResult:
    """Read what the runs of an experiment have left, and judge the paper's claims.

    Parameters
    ----------
    experiment : Experiment
    scale : Scale
    preset : Path
    runs : mapping of row's name to its runs, one per seed

    Raises
    ------
    ValueError
        An assessment of another version, or of other samples than the others.
    """
    found = {run: read_assessment(run.result) for rs in runs.values() for run in rs if run.finished}
    check_same_samples({run.folder.name: assessed for run, assessed in found.items()})
    one = next(iter(found.values()), None)
    yaw = np.zeros(0) if one is None else one.yaw_deg
    seeds = sorted({run.seed for rs in runs.values() for run in rs})
    rows = tuple(
        _row_result(row, experiment, runs.get(row.name, ()), found, seeds, yaw)
        for row in experiment.rows
    )
    subjects = np.zeros(0, dtype=str) if one is None else one.subject_ids
    errors = {result.row.name: result.errors for result in rows}
    verdicts = tuple(
        judge(
            claim,
            errors[claim.better][claim.column.measure],
            errors[claim.worse][claim.column.measure],
            subjects,
            yaw,
        )
        for claim in experiment.claims
    )
    many = len(set(subjects.tolist()))
    return ExperimentResult(experiment, scale, preset, rows, verdicts, len(subjects), many)


def _row_result(
    row: Row,
    experiment: Experiment,
    runs: Sequence[Run],
    found: Mapping[Run, Assessed],
    seeds: Sequence[int],
    yaw_deg: Array,
) -> RowResult:
    """Gather a row; the fit is the same before every training."""
    one = next(iter(found.values()), None)
    finished = {run.seed: found[run] for run in runs if run in found}
    errors: dict[str, dict[int, Array]] = {}
    for measure in (NME, DACE):
        if row.training is None:
            errors[measure] = {} if one is None else dict.fromkeys(seeds, one.fit[measure])
        else:
            errors[measure] = {seed: a.predicted[measure] for seed, a in finished.items()}
    means = {
        column.title: {
            seed: column_mean(values, yaw_deg, column)
            for seed, values in errors[column.measure].items()
        }
        for column in experiment.columns
    }
    return RowResult(
        row=row,
        errors=errors,
        means=means,
        spread={title: spread_over_seeds(list(m.values())) for title, m in means.items()},
        training_samples=max(
            (read_training_samples(run.own_assessment) for run in runs if run in found), default=0
        ),
        failures={run.seed: failure(run) for run in runs if failure(run)},
        runs=tuple(runs),
    )
