"""Table 5 and Fig. 17: what ``fg3d evaluate`` finds on Florence, NoW and Stirling/ESRC."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fg3d_builder.evaluation.comparison import SeedSpread
from fg3d_builder.files.own_package import finds_this_package
from fg3d_builder.records import Array
from fg3d_builder.reproduction.statistics import Verdict, column_mean, judge, spread_over_seeds
from fg3d_builder.reproduction.tables import DACE, OURS, YAW, Claim, Column
from fg3d_builder.stopping import run_until_stopped
from fg3d_builder.testsets import ProtocolResults, read_results
from fg3d_builder.testsets.results import FIT, RESULTS_NAME

COLUMNS = tuple(Column(column.title, DACE, column.yaw_deg) for column in YAW)


class Evaluation(NamedTuple):
    """Our networks and other methods on one set.

    Attributes
    ----------
    protocol : str
        ``"florence"``, ``"now"`` or ``"stirling"``.
    out : Path
        Folder of the results.
    networks : tuple of str
        Names of our networks, one per training run.
    others : tuple of str
        Names of other methods.
    words : list of str
        Words of the command after ``fg3d``.
    """

    protocol: str
    out: Path
    networks: tuple[str, ...]
    others: tuple[str, ...]
    words: list[str]

    @property
    def command(self) -> str:
        """The command as a person types it."""
        return shlex.join(["fg3d", *self.words])


class SetResult(NamedTuple):
    """What is known of one test set; `error` is why there are no results.

    Attributes
    ----------
    evaluation : Evaluation
    results : ProtocolResults, optional
    error : str
    """

    evaluation: Evaluation
    results: ProtocolResults | None
    error: str = ""


class MethodRow(NamedTuple):
    """One method on one set, over the images that it has an error for.

    Attributes
    ----------
    method : str
    spread : dict of column title to SeedSpread or None
        Spread over our training runs; another method has one value.
    images, failed : int
        Where there are several runs, those of the worst.
    """

    method: str
    spread: dict[str, SeedSpread | None]
    images: int
    failed: int


def evaluate(evaluation: Evaluation) -> SetResult:
    """Run ``fg3d evaluate``; what it has measured already it does not measure again."""
    if not evaluation.networks:
        return SetResult(evaluation, None, "no training run is finished")
    # Results of an earlier call may be about other methods.
    (evaluation.out / RESULTS_NAME).unlink(missing_ok=True)
    program = [sys.executable, "-m", "fg3d_builder.cli", *evaluation.words]
    status = run_until_stopped(program, finds_this_package())
    # Status 1 is about single images, which the results name.
    if status not in (0, 1):
        return SetResult(evaluation, None, f"exit status {status} of `{evaluation.command}`")
    return kept(evaluation)


def kept(evaluation: Evaluation) -> SetResult:
    """Read the results of an earlier evaluation of the same networks and methods."""
    if not (evaluation.out / RESULTS_NAME).is_file():
        return SetResult(evaluation, None, "not evaluated yet")
    results = read_results(evaluation.out)
    if set(results.methods) != {FIT, *evaluation.networks, *evaluation.others}:
        error = f"{evaluation.out} holds results of {', '.join(results.methods)}"
        return SetResult(evaluation, None, error)
    return SetResult(evaluation, results)


def method_rows(found: SetResult) -> list[MethodRow]:
    """Return the 3DMM fit, our network over its runs, and the other methods."""
    if found.results is None:
        return []
    named = {FIT: [FIT], OURS: [*found.evaluation.networks]}
    named |= {method: [method] for method in found.evaluation.others}
    return [_row(name, methods, found.results) for name, methods in named.items() if methods]


def verdicts(found: SetResult) -> list[Verdict]:
    """Judge whether our network is better than the fit, and than every other method.

    Two methods are compared on the images that all of both have an error for.
    """
    results, networks = found.results, found.evaluation.networks
    if results is None or not networks:
        return []
    judged = []
    for other in (FIT, *found.evaluation.others):
        common = results.measured_by_all([*networks, other])
        ours = {i: results.errors(name)[common] for i, name in enumerate(networks)}
        theirs = dict.fromkeys(ours, results.errors(other)[common])
        subjects = np.array(results.subjects)[common]
        claim = Claim(OURS, other, COLUMNS[-1])
        judged.append(judge(claim, ours, theirs, subjects, np.zeros(len(subjects))))
    return judged


def mean_errors(found: SetResult) -> dict[str, Array]:
    """Return the errors (s,) of each method, ours averaged over runs; inf for failures."""
    results, networks = found.results, found.evaluation.networks
    if results is None:
        return {}
    errors = {m: results.errors(m) for m in results.methods if m not in networks}
    if networks:
        errors[OURS] = np.mean([results.errors(name) for name in networks], axis=0)
    return errors


def _row(method: str, names: Sequence[str], results: ProtocolResults) -> MethodRow:
    by_run = [_measured(name, results) for name in names]
    spread = {
        column.title: spread_over_seeds([_mean(errors, yaw, column) for errors, yaw in by_run])
        for column in COLUMNS
    }
    images = min(len(errors) for errors, _ in by_run)
    return MethodRow(method, spread, images, len(results.subjects) - images)


def _measured(method: str, results: ProtocolResults) -> tuple[Array, Array]:
    """Errors and yaw, NaN where unknown, of the images that a method has an error for."""
    rows = [row for row in results.of(method) if row.dace is not None]
    yaw = [np.nan if row.yaw_deg is None else row.yaw_deg for row in rows]
    return np.array([row.dace for row in rows], dtype=np.float64), np.array(yaw, dtype=np.float64)


def _mean(errors: Array, yaw_deg: Array, column: Column) -> float:
    """Mean over a column; an image of unknown yaw counts in the mean over all alone."""
    known = np.isfinite(yaw_deg) if column.yaw_deg is not None else np.ones(len(errors), dtype=bool)
    if not known.any():
        return float("nan")
    return column_mean(errors[known], np.nan_to_num(yaw_deg[known]), column)
