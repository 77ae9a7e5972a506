"""The mathematics of `benchmarks.quality`: fit of the score's model, AUC, rates at a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.stats import rankdata

from fg3d_builder.records import Array, QualityFigures
from fg3d_builder.registration.quality import QualityModel, fault, fault_values

ORDINARY_QUANTILE = 0.75
"""Of the good registrations' figures: what is ordinary."""

RIDGE = 0.03
"""Keeps the weights of figures that say the same from running away."""

FOLDS = 6

OF_THE_PERSON = ("identity_peak", "identity_norm")
"""Figures that say how unusual a face is by the face model's measure. Synthetic subjects are
drawn from a face model and people are not: what these would teach is to reject people."""


def labels(rows: Sequence[Mapping[str, Any]], surface_mm: float, vertex_mm: float) -> Array:
    """Return the (r,) bool mask of the bad rows: mean error above either limit."""
    return np.array([r["surface_mm"] > surface_mm or r["vertex_mm"] > vertex_mm for r in rows])


def fit_model(rows: Sequence[Mapping[str, Any]], bad: Array) -> QualityModel:
    """Fit a logistic model with non-negative weights; good and bad rows count the same in sum."""
    table = [fault_values(QualityFigures(**row["figures"])) for row in rows]
    names = [name for name in table[0] if name not in OF_THE_PERSON]
    values = np.array([[row[name] for name in names] for row in table])
    ordinary = np.maximum(np.quantile(values[~bad], ORDINARY_QUANTILE, axis=0), 1e-3)
    faults = fault(values, ordinary)
    sign = np.where(bad, -1.0, 1.0)
    share = np.where(bad, 0.5 / max(bad.sum(), 1), 0.5 / max((~bad).sum(), 1))

    def loss(x: Array) -> tuple[float, Array]:
        margin = sign * (x[0] - faults @ x[1:])
        slope = -sign * share / (1.0 + np.exp(np.clip(margin, -50, 50)))
        value = share @ np.logaddexp(0.0, -margin) + 0.5 * RIDGE * (x[1:] @ x[1:]) / len(names)
        gradient = np.concatenate([[slope.sum()], -(faults.T @ slope)])
        gradient[1:] += RIDGE * x[1:] / len(names)
        return float(value), gradient

    bounds = [(None, None), *((0.0, None) for _ in names)]
    x = minimize(loss, np.zeros(len(names) + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    weights = {n: float(w) for n, w in zip(names, x[1:], strict=True) if w > 1e-6}
    scale = dict(zip(names, ordinary.tolist(), strict=True))
    return QualityModel(float(x[0]), {n: scale[n] for n in weights}, weights)


def scores(model: QualityModel, rows: Sequence[Mapping[str, Any]]) -> Array:
    """Return the (r,) scores of rows."""
    return np.array([model.score(QualityFigures(**row["figures"])) for row in rows])


def held_out_scores(rows: Sequence[Mapping[str, Any]], bad: Array) -> Array:
    """Return each row's score by a model that saw nothing of its subject."""
    subjects = np.array([row["capture"].rsplit("-", 1)[0] for row in rows])
    fold = {name: i % FOLDS for i, name in enumerate(dict.fromkeys(subjects.tolist()))}
    number = np.array([fold[name] for name in subjects.tolist()])
    found = np.zeros(len(rows))
    for k in range(FOLDS):
        inside = number == k
        rest = [row for row, hidden in zip(rows, inside, strict=True) if not hidden]
        model = fit_model(rest, bad[~inside])
        found[inside] = scores(model, [r for r, i in zip(rows, inside, strict=True) if i])
    return found


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
    """Return the highest threshold, in steps of 0.05, that rejects no more of the good rows."""
    steps = np.arange(1, 20) / 20
    allowed = [t for t in steps if (score[~bad] < t).mean() <= good_rejected]
    return float(max(allowed, default=steps[0]))
