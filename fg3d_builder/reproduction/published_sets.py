"""Table 5 and Fig. 17: trained networks on Florence, NoW and Stirling/ESRC, through `protocols`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fg3d_builder.evaluation.comparison import SeedSpread
from fg3d_builder.records import Array
from fg3d_builder.reproduction.statistics import Verdict, column_mean, judge, spread_over_seeds
from fg3d_builder.reproduction.tables import DACE, OURS, Claim, Column
from fg3d_builder.testsets import ProtocolResults, read_results
from fg3d_builder.testsets.results import FIT, RESULTS_NAME

COLUMNS = (
    Column("[0, 15]", DACE, (0.0, 15.0)),
    Column("[15, 30]", DACE, (15.0, 30.0)),
    Column("[30, 45]", DACE, (30.0, 45.0)),
    Column("> 45", DACE, (45.0, 180.0)),
    Column("mean", DACE),
)


@dataclass(frozen=True)
class Evaluation:
    """Our networks and other methods on one set.

    Attributes
    ----------
    protocol : str
        ``"florence"``, ``"now"`` or ``"stirling"``.
    folder : Path
        The set, as it was published.
    out : Path
    networks : mapping of name to checkpoint
        One per training.
    others : mapping of name to folder of meshes
    facemodel : Path, optional
        Model file, where its licence keeps it from lying beside the checkpoints.
    device : str
    """

    protocol: str
    folder: Path
    out: Path
    networks: Mapping[str, Path]
    others: Mapping[str, Path]
    facemodel: Path | None
    device: str

    @property
    def words(self) -> list[str]:
        """Words of the command."""
        words = ["fg3d", "evaluate", self.protocol, str(self.folder), "--out", str(self.out)]
        for name, path in self.networks.items():
            words += ["--checkpoint", f"{name}={path}"]
        for name, path in self.others.items():
            words += ["--method", f"{name}={path}"]
        words += [] if self.facemodel is None else ["--facemodel", str(self.facemodel)]
        return [*words, "--device", self.device]

    @property
    def command(self) -> str:
        """The command as a person types it."""
        return shlex.join(self.words)


@dataclass(frozen=True)
class SetResult:
    """What is known of one test set.

    Attributes
    ----------
    protocol : str
    results : ProtocolResults, optional
        None where there are none.
    error : str
        Why.
    networks : tuple of str
        Names of our networks among the methods, one per training.
    """

    protocol: str
    results: ProtocolResults | None
    error: str
    networks: tuple[str, ...]


@dataclass(frozen=True)
class MethodRow:
    """One method on one set, over the images that it has an error for.

    Attributes
    ----------
    method : str
    spread : dict of column title to SeedSpread or None
        Over our trainings; of another method over itself alone.
    images, failed : int
        Of one training where there are several: the worst.
    """

    method: str
    spread: dict[str, SeedSpread | None]
    images: int
    failed: int


def evaluate(evaluation: Evaluation) -> SetResult:
    """Run ``fg3d evaluate``; what it has measured already it does not again."""
    if not evaluation.networks:
        return SetResult(evaluation.protocol, None, "no training is finished", ())
    # Results of an earlier call may be about other methods.
    (evaluation.out / RESULTS_NAME).unlink(missing_ok=True)
    program = [sys.executable, "-m", "fg3d_builder.cli", *evaluation.words[1:]]
    done = subprocess.run(program, check=False, env=dict(os.environ))
    # Status 1 is about single images, which the results name.
    if done.returncode not in (0, 1):
        names = tuple(evaluation.networks)
        error = f"exit status {done.returncode} of `{evaluation.command}`"
        return SetResult(evaluation.protocol, None, error, names)
    return kept(evaluation)


def kept(evaluation: Evaluation) -> SetResult:
    """Read the results of an earlier evaluation of the same networks and methods."""
    names = tuple(evaluation.networks)
    if not (evaluation.out / RESULTS_NAME).is_file():
        return SetResult(evaluation.protocol, None, "not evaluated yet", names)
    results = read_results(evaluation.out)
    if set(results.methods) != {FIT, *names, *evaluation.others}:
        error = f"{evaluation.out} holds results of {', '.join(results.methods)}"
        return SetResult(evaluation.protocol, None, error, names)
    return SetResult(evaluation.protocol, results, "", names)


def method_rows(found: SetResult) -> list[MethodRow]:
    """Return the 3DMM fit, our network over its trainings, and the other methods."""
    results = found.results
    if results is None:
        return []
    rows = [_row(FIT, [FIT], results)]
    if found.networks:
        rows.append(_row(OURS, found.networks, results))
    others = [m for m in results.methods if m != FIT and m not in found.networks]
    return rows + [_row(method, [method], results) for method in others]


def verdicts(found: SetResult) -> list[Verdict]:
    """Judge whether our network is better than the fit, and than every other method."""
    results = found.results
    if results is None or not found.networks:
        return []
    return [
        _judged(found.networks, method, results)
        for method in results.methods
        if method not in found.networks
    ]


def mean_errors(found: SetResult) -> dict[str, Array]:
    """Return the errors (s,) of each method, ours averaged over trainings; inf for failures."""
    results = found.results
    if results is None:
        return {}
    errors = {m: results.errors(m) for m in results.methods if m not in found.networks}
    if found.networks:
        errors[OURS] = np.mean([results.errors(name) for name in found.networks], axis=0)
    return errors


def _row(method: str, names: Sequence[str], results: ProtocolResults) -> MethodRow:
    by_training = [_measured(name, results) for name in names]
    spread = {}
    for column in COLUMNS:
        means = [_mean(errors, yaw, column) for errors, yaw in by_training]
        spread[column.title] = spread_over_seeds(means)
    counts = [len(errors) for errors, _ in by_training]
    return MethodRow(method, spread, min(counts), len(results.subjects) - min(counts))


def _measured(method: str, results: ProtocolResults) -> tuple[Array, Array]:
    """Errors and yaw, NaN where unknown, of the images that a method has an error for."""
    rows = [row for row in results.of(method) if row.dace is not None]
    yaw = [np.nan if row.yaw_deg is None else row.yaw_deg for row in rows]
    return np.array([row.dace for row in rows], dtype=np.float64), np.array(yaw, dtype=np.float64)


def _mean(errors: Array, yaw_deg: Array, column: Column) -> float:
    """An image of unknown yaw counts in the mean over all alone."""
    known = np.isfinite(yaw_deg) if column.yaw_deg is not None else np.ones(len(errors), dtype=bool)
    if not known.any():
        return float("nan")
    return column_mean(errors[known], np.nan_to_num(yaw_deg[known]), column)


def _judged(networks: Sequence[str], other: str, results: ProtocolResults) -> Verdict:
    """Compare on the images that all of both have an error for."""
    common = results.measured_by_all([*networks, other])
    ours = {i: results.errors(name)[common] for i, name in enumerate(networks)}
    theirs = dict.fromkeys(ours, results.errors(other)[common])
    subjects = np.array(results.subjects)[common]
    claim = Claim(OURS, other, COLUMNS[-1])
    return judge(claim, ours, theirs, subjects, np.zeros(len(subjects)))
