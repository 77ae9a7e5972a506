"""Brings the rows of one experiment together: errors, failures and verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fg3d_builder.evaluation.comparison import SeedSpread
from fg3d_builder.fgnet.training.names import ASSESSMENT_NAME, assessment_folder
from fg3d_builder.records import Array
from fg3d_builder.reproduction.statistics import Verdict, column_mean, judge, spread_over_seeds
from fg3d_builder.reproduction.tables import DACE, NME, Column, Experiment, Row
from fg3d_builder.tasks.training import EvaluateFGNet, last_failure

_KEYS = {NME: ("fit", "predicted"), DACE: ("fit_dace", "predicted_dace")}


@dataclass(frozen=True)
class Assessed:
    """The assessment of one run; errors are fractions of the interocular distance.

    Attributes
    ----------
    sample_ids, subject_ids : (s,) str
    yaw_deg : (s,) float64
    fit, predicted : dict of measure to (s,) float64
        Errors of the 3DMM fit and of the network.
    """

    sample_ids: Array
    subject_ids: Array
    yaw_deg: Array
    fit: dict[str, Array]
    predicted: dict[str, Array]


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
        0 for the fit, and where no run is finished.
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
    found = {
        run: read_assessment(run.result())
        for of_row in runs.values()
        for run in of_row
        if run.complete()
    }
    check_same_samples({run.folder.name: assessed for run, assessed in found.items()})
    one = next(iter(found.values()), None)
    yaw_deg = np.zeros(0) if one is None else one.yaw_deg
    subjects = np.zeros(0, dtype=str) if one is None else one.subject_ids
    seeds = sorted({run.seed for of_row in runs.values() for run in of_row})
    # The fit is the same before every run.
    fit = {m: {} if one is None else dict.fromkeys(seeds, one.fit[m]) for m in _KEYS}
    rows = tuple(
        _row_result(row, runs.get(row.name, ()), found, fit, experiment.columns, yaw_deg)
        for row in experiment.rows
    )
    errors_of = {result.row.name: result.errors for result in rows}
    verdicts = tuple(
        judge(
            claim,
            errors_of[claim.better][claim.column.measure],
            errors_of[claim.worse][claim.column.measure],
            subjects,
            yaw_deg,
        )
        for claim in experiment.claims
    )
    many = len(set(subjects.tolist()))
    return ExperimentResult(experiment, rows, verdicts, len(subjects), many)


def read_assessment(file: Path) -> Assessed:
    """Read the assessment of a run.

    Raises
    ------
    ValueError
        It lacks a figure; names it.
    """
    rows = json.loads(file.read_text(encoding="utf-8"))["samples"]

    def floats(key: str) -> Array:
        return np.array([row[key] for row in rows], dtype=np.float64)

    try:
        return Assessed(
            np.array([row["sample_id"] for row in rows]),
            np.array([row["subject_id"] for row in rows]),
            floats("yaw_deg"),
            {measure: floats(fit) for measure, (fit, _) in _KEYS.items()},
            {measure: floats(predicted) for measure, (_, predicted) in _KEYS.items()},
        )
    except KeyError as error:
        raise ValueError(
            f"{file} has no {error}: an older version wrote it; remove it, so that it is made anew"
        ) from None


def read_training_samples(run: Path) -> int:
    """Return how many samples a network was trained on, given the folder of its run."""
    file = assessment_folder(run) / ASSESSMENT_NAME
    return int(json.loads(file.read_text(encoding="utf-8"))["about"]["training_samples"])


def check_same_samples(results: Mapping[str, Assessed]) -> None:
    """Refuse results that cannot be compared sample by sample.

    Raises
    ------
    ValueError
        Two results are about different samples; names both.
    """
    names = list(results)
    for name in names[1:]:
        if not np.array_equal(results[name].sample_ids, results[names[0]].sample_ids):
            raise ValueError(f"{name} and {names[0]} were tested on different samples")


def _row_result(
    row: Row,
    runs: Sequence[EvaluateFGNet],
    found: Mapping[EvaluateFGNet, Assessed],
    fit: dict[str, dict[int, Array]],
    columns: Sequence[Column],
    yaw_deg: Array,
) -> RowResult:
    finished = [run for run in runs if run in found]
    errors = fit
    if row.recipe is not None:
        errors = {m: {run.seed: found[run].predicted[m] for run in finished} for m in _KEYS}
    means = {
        column.title: {
            seed: column_mean(values, yaw_deg, column)
            for seed, values in errors[column.measure].items()
        }
        for column in columns
    }
    failures = {run.seed: last_failure(run.folder) for run in runs if run not in found}
    return RowResult(
        row=row,
        runs=tuple(runs),
        errors=errors,
        means=means,
        spread={title: spread_over_seeds(list(m.values())) for title, m in means.items()},
        training_samples=max([read_training_samples(run.folder) for run in finished], default=0),
        failures={seed: text for seed, text in failures.items() if text},
    )
