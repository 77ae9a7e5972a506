"""The mathematics of `benchmarks.quality`: fit of the score's model, AUC, rates at a threshold.

Rows are mappings: ``figures`` of `QualityFigures`, ``set`` (``"synthetic"``, ``"heads"`` or
``"real"``), ``surface_mm`` and ``vertex_mm``: true mean errors, None where they are not known.
Real captures are all good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.stats import rankdata

from fg3d_builder.records import Array, QualityFigures
from fg3d_builder.registration.quality import (
    SURFACE_LIMIT_MM,
    TOGETHER,
    VERTEX_LIMIT_MM,
    ErrorModel,
    QualityModel,
    excess,
    fault_values,
    severity,
)

Row = Mapping[str, Any]

ORDINARY_QUANTILE = 0.75
"""Of the good registrations' figures: what is ordinary. Synthetic captures, heads and real
captures count the same in sum."""

FACE_RADIUS_MM = 55.0
"""RMS distance of the reliable face from its centre."""

MM_PER_UNIT = {
    "surface_mm": 1.0,
    "landmark_motion": 10.0,  # less than the 45 mm of the features' radius: outliers move it too
    "landmark_gap_mm": 1.0,
    "deformation_mm": 1.0,
    "moved_mm": 1.0,
    "refit_mm": 1.0,
    "turned_deg": 0.35,
    "pull_mm": 1.5,
    "expression_norm": 2.0,
    "identity_norm": 2.0,
    "size": FACE_RADIUS_MM,
    "distortion": FACE_RADIUS_MM,
    "flipped": 50.0,
    "stretch": 5.0,
    "unconverged": 0.5,
    "image_shift_mm": 1.0,
    "image_mismatch": 20.0,
    "odd_hue": 20.0,
    "pierced_mm": 2.0,
}
"""Vertex error that a unit of each figure means, from what the figure is: the prior of the fit.

It is what speaks about failures of which the calibration has no example. How much of the face was
seen is not among them. How unusual a person is counts little: synthetic subjects are drawn from a
face model and people are not, so that the heads and the real captures say what is ordinary.
"""

SURFACE_SHARE = 0.4
"""Part of a vertex error that is across the surface, when nothing more is known."""

PRIOR = 3.0
"""Weight of the prior, in parts of the data: of squared logarithms of errors against squared
relative deviations of the weights. Strong: the failures that were registered say little about those
of other kinds."""

FLOOR_MM = 0.1
"""Least of what is predicted without any fault in sight."""

LEAST_POWER = 0.2

SIZE_ORDINARY = 0.05
"""What adults differ by, a standard deviation of 4 mm of 90, and a little for the measurement.
Synthetic heads, which are all of one population, would say less."""


class Targets(NamedTuple):
    """True errors of rows; NaN where they are not known.

    Attributes
    ----------
    vertex_mm, surface_mm : (r,) float
    """

    vertex_mm: Array
    surface_mm: Array

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Targets:
        """Collect the errors of rows."""

        def column(name: str) -> Array:
            return np.array([np.nan if r.get(name) is None else r[name] for r in rows], float)

        return cls(column("vertex_mm"), column("surface_mm"))


def labels(
    rows: Sequence[Row], surface_mm: float = SURFACE_LIMIT_MM, vertex_mm: float = VERTEX_LIMIT_MM
) -> Array:
    """Return the (r,) bool mask of the bad rows: a mean error above either limit."""
    vertex, surface = Targets.of(rows)
    return np.asarray((surface > surface_mm) | (vertex > vertex_mm))


def fit_model(rows: Sequence[Row], bad: Array) -> QualityModel:
    """Fit both error models and the curve from severity to quality."""
    names = list(MM_PER_UNIT)
    faults = [fault_values(QualityFigures(**row["figures"])) for row in rows]
    values = np.array([[fault[name] for name in names] for fault in faults])
    ordinary = dict(zip(names, _ordinary(values, rows, bad).tolist(), strict=True))
    ordinary["size"] = SIZE_ORDINARY
    beyond = excess(values, np.array(list(ordinary.values())))
    prior = np.array(list(MM_PER_UNIT.values()))
    vertex_mm, surface_mm = Targets.of(rows)
    vertex = _fit_errors(beyond, vertex_mm, bad, names, prior)
    surface = _fit_errors(beyond, surface_mm, bad, names, SURFACE_SHARE * prior)
    model = QualityModel(ordinary, vertex, surface, 0.0, 1.0)
    offset, slope = _fit_curve(np.log(severities(model, rows)), bad)
    return model._replace(offset=offset, slope=slope)


def _ordinary(values: Array, rows: Sequence[Row], bad: Array) -> Array:
    """Weighted quantile of each figure over the good rows, every set alike."""
    sets = np.array([row["set"] for row in rows])
    weight = np.zeros(len(rows))
    for name in set(sets.tolist()):
        mine = (sets == name) & ~bad
        weight[mine] = 1.0 / max(mine.sum(), 1)
    found = []
    for column in values.T:
        order = np.argsort(column, kind="stable")
        total = np.cumsum(weight[order])
        found.append(column[order[np.searchsorted(total, ORDINARY_QUANTILE * total[-1])]])
    return np.maximum(np.array(found), 1e-3)


def _fit_errors(
    beyond: Array, error_mm: Array, bad: Array, names: Sequence[str], prior: Array
) -> ErrorModel:
    """Least squares of logarithms; good and bad rows count the same in sum.

    The weights first, near their prior, then the level: the figures of any face say something, and
    all of them together more than is true.
    """
    known = np.isfinite(error_mm)
    x, y, worse = beyond[known] * prior, np.log(np.maximum(error_mm[known], 1e-2)), bad[known]
    share = even_odds(worse)

    def loss(p: Array) -> tuple[float, Array]:
        # Of the norm in which errors add up: its power, and that power's slopes.
        parts = (x * p[1:]) ** TOGETHER
        power = np.exp(TOGETHER * p[0]) + parts.sum(axis=1)
        apart = np.log(power) / TOGETHER - y
        slope = share * apart / power
        off = p[1:] - 1.0
        by_weight = (slope @ x**TOGETHER) * p[1:] ** (TOGETHER - 1.0)
        gradient = np.concatenate(
            [[slope.sum() * np.exp(TOGETHER * p[0])], by_weight + PRIOR * off / len(names)]
        )
        value = 0.5 * share @ apart**2 + 0.5 * PRIOR * off @ off / len(names)
        return float(value), gradient

    start = np.concatenate([[np.median(y[~worse]) if (~worse).any() else 0.0], np.ones(len(names))])
    bounds = [(np.log(FLOOR_MM), None), *((0.0, None) for _ in names)]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    power = np.exp(TOGETHER * found[0]) + ((x * found[1:]) ** TOGETHER).sum(axis=1)
    level, slope = _fit_level(np.log(power) / TOGETHER, y, share)
    weights = {n: float(w * m) for n, w, m in zip(names, found[1:], prior, strict=True) if w > 0}
    return ErrorModel(float(np.exp(found[0])), weights, level, slope)


def _fit_level(together: Array, error: Array, share: Array) -> tuple[float, float]:
    """Line through logarithms, as the factor and the exponent that it is; it rises."""
    middle, height = share @ together, share @ error
    spread = share @ (together - middle) ** 2
    slope = share @ ((together - middle) * (error - height)) / max(spread, 1e-9)
    slope = max(float(slope), LEAST_POWER)
    return float(np.exp(height - slope * middle)), slope


def _fit_curve(log_severity: Array, bad: Array) -> tuple[float, float]:
    """Logistic regression of good on the severity; a wide prior keeps the slope finite."""
    sign, share = np.where(bad, -1.0, 1.0), even_odds(bad)

    def loss(p: Array) -> float:
        margin = sign * (p[0] - p[1] * log_severity)
        return float(share @ np.logaddexp(0.0, -margin) + 1e-3 * p @ p)

    found = minimize(loss, np.array([0.0, 1.0]), bounds=[(None, None), (0.1, None)]).x
    return float(found[0]), float(found[1])


def even_odds(bad: Array) -> Array:
    """Return weights of rows with which the good and the bad ones make a half each."""
    return np.where(bad, 0.5 / max(bad.sum(), 1), 0.5 / max((~bad).sum(), 1))


def severities(model: QualityModel, rows: Sequence[Row]) -> Array:
    """Return the (r,) predicted severities, see `QualityModel`."""
    judged = [model.judge(QualityFigures(**row["figures"])) for row in rows]
    return np.array([severity(j.vertex_mm, j.surface_mm) for j in judged])


def scores(model: QualityModel, rows: Sequence[Row]) -> Array:
    """Return the (r,) qualities of rows."""
    return np.array([model.judge(QualityFigures(**row["figures"])).quality for row in rows])


def held_out_scores(rows: Sequence[Row], bad: Array, folds: Array) -> Array:
    """Return each row's score by a model that saw nothing of its fold, (r,) int."""
    found = np.zeros(len(rows))
    for k in np.unique(folds):
        inside = folds == k
        rest = [row for row, hidden in zip(rows, inside, strict=True) if not hidden]
        model = fit_model(rest, bad[~inside])
        found[inside] = scores(model, [r for r, i in zip(rows, inside, strict=True) if i])
    return found


def folds_of(rows: Sequence[Row], key: Callable[[Row], str], count: int) -> Array:
    """Return (r,) fold numbers, the same for rows of one key, in turns over the sorted keys."""
    names = sorted({key(row) for row in rows})
    number = {name: i % count for i, name in enumerate(names)}
    return np.array([number[key(row)] for row in rows])


def auc(score: Array, bad: Array) -> float:
    """Return the probability that a good row scores above a bad one; ties count half."""
    rank, good = rankdata(score), int((~bad).sum())
    if not bad.any() or not good:
        return float("nan")
    return float((rank[~bad].sum() - good * (good + 1) / 2) / (good * bad.sum()))


def rates(score: Array, bad: Array, threshold: float) -> dict[str, float]:
    """Return what becomes of rows when those below a threshold are rejected.

    ``precision``: share of the rejected that is bad; ``recall``: share of the bad that is
    rejected; ``good_rejected``: share of the good that is.
    """
    out = score < threshold
    return {
        "precision": float(bad[out].mean()) if out.any() else float("nan"),
        "recall": float(out[bad].mean()) if bad.any() else float("nan"),
        "good_rejected": float(out[~bad].mean()),
    }


def threshold_for(score: Array, bad: Array, good_rejected: float) -> float:
    """Return the highest threshold, in steps of 0.01, that rejects no more of the good rows."""
    steps = np.arange(1, 100) / 100
    allowed = [t for t in steps if (score[~bad] < t).mean() <= good_rejected]
    return float(max(allowed, default=0.0))
