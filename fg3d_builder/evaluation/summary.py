"""From the errors of many samples to tables, curves and maps.

Errors are fractions of the interocular distance. A sample that a method failed on counts as an
infinite error: it lowers the cumulative curve, makes means infinite, and is never left out.
NaN is refused everywhere, as it would vanish in one place and spread in another.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.evaluation.metrics import ShapeError
from fg3d_builder.evaluation.places import Correspondence
from fg3d_builder.records import Array

YAW_INTERVALS_DEG = ((0.0, 15.0), (15.0, 30.0), (30.0, 45.0))
"""Intervals of the absolute yaw, as in the paper's tables."""

CED_LIMIT = 0.08
"""End of a cumulative curve's error axis, a fraction of the interocular distance."""

# Angles that are meant to be on a border come from rotation matrices.
_ANGLE_TOLERANCE_DEG = 1e-3


class YawRow(NamedTuple):
    """Samples of one interval of absolute yaw; NaN and 0 samples where there are none.

    Attributes
    ----------
    low_deg, high_deg : float
        The interval.
    samples : int
    mean, median : float
        Of the samples' errors.
    """

    low_deg: float
    high_deg: float
    samples: int
    mean: float
    median: float


class YawTable(NamedTuple):
    """Errors by yaw.

    Attributes
    ----------
    intervals : tuple of YawRow
    beyond : YawRow
        Samples turned further than the last interval; they count in `all`.
    all : YawRow
        All samples; its mean is the mean over samples, not over intervals.
    """

    intervals: tuple[YawRow, ...]
    beyond: YawRow
    all: YawRow


class CumulativeError(NamedTuple):
    """Cumulative error distribution (CED).

    Attributes
    ----------
    thresholds : (t,) float64
    fraction : (t,) float64
        Share of the samples whose error is at most the threshold.
    area : float
        Area under the curve up to the last threshold, divided by it: 1 for no error at all.
        Exact, not from the sampled curve.
    """

    thresholds: Array
    fraction: Array
    area: float


def yaw_table(errors: Array, yaw_deg: Array) -> YawTable:
    """Average the errors (s,) of samples over the paper's intervals of absolute yaw (s,).

    The intervals share their ends; an angle on a shared end belongs to the lower one, so that
    views rendered at 0, 15, 30 and 45 degrees fall into the intervals that these end.
    """
    values = _known(errors)
    yaw = np.abs(np.asarray(yaw_deg, dtype=np.float64))
    if yaw.shape != values.shape or not np.all(np.isfinite(yaw)):
        raise ValueError(f"wanted one finite yaw for each of {len(values)} errors")
    ends = np.array([high for _, high in YAW_INTERVALS_DEG])
    number = np.searchsorted(ends + _ANGLE_TOLERANCE_DEG, yaw, side="left")
    rows = tuple(
        _yaw_row(values[number == i], low, high) for i, (low, high) in enumerate(YAW_INTERVALS_DEG)
    )
    beyond = _yaw_row(values[number == len(rows)], float(ends[-1]), 180.0)
    return YawTable(rows, beyond, _yaw_row(values, 0.0, 180.0))


def _yaw_row(values: Array, low: float, high: float) -> YawRow:
    if len(values) == 0:
        return YawRow(low, high, 0, float("nan"), float("nan"))
    return YawRow(low, high, len(values), float(values.mean()), float(np.median(values)))


def cumulative_error(errors: Array, limit: float = CED_LIMIT, points: int = 200) -> CumulativeError:
    """Return the share of samples below each of `points` thresholds from 0 to `limit`.

    Parameters
    ----------
    errors : (s,) float
        Infinite for failures.
    limit : float
        Last threshold, positive.
    points : int
        At least 2.
    """
    values = np.sort(_known(errors))
    if not (np.isfinite(limit) and limit > 0 and points >= 2):
        raise ValueError(f"cumulative error: {points} thresholds up to {limit}")
    thresholds = np.linspace(0.0, limit, points)
    fraction = np.searchsorted(values, thresholds, side="right") / len(values)
    # Each sample adds a step that reaches from its error to the limit.
    area = float(np.mean(np.maximum(0.0, 1.0 - values / limit)))
    return CumulativeError(thresholds, fraction, area)


class VertexErrorMap:
    """Mean error of every vertex over many samples, taken in one by one (Fig. 11).

    Parameters
    ----------
    vertex_count : int
        Vertices of the reconstruction's mesh.
    """

    def __init__(self, vertex_count: int) -> None:
        self._sum = np.zeros(vertex_count)
        self._weight = np.zeros(vertex_count)

    def add(self, error: ShapeError, correspondence: Correspondence) -> None:
        """Take in one sample: errors at vertices of the correspondence's source.

        Raises
        ------
        ValueError
            Another mesh, places between vertices, or an error of another correspondence.
        """
        source = correspondence.source
        if source.vertex_count != len(self._sum):
            raise ValueError(
                f"error map of {len(self._sum)} vertices, sample of {source.vertex_count}"
            )
        if len(error.per_place) != len(source):
            raise ValueError(f"{len(error.per_place)} errors for {len(source)} places")
        used = correspondence.weights > 0
        index, weight = source.vertex_index[used], correspondence.weights[used]
        np.add.at(self._sum, index, weight * error.per_place[used])
        np.add.at(self._weight, index, weight)

    @property
    def mean(self) -> Array:
        """(n,) float64 weighted mean error; NaN at vertices that no sample had."""
        empty = np.full(len(self._sum), np.nan)
        return np.divide(self._sum, self._weight, out=empty, where=self._weight > 0)


def _known(errors: Array) -> Array:
    values = np.asarray(errors, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"wanted a list of errors, got shape {values.shape}")
    if np.any(np.isnan(values)) or np.any(values < 0):
        raise ValueError("errors must be numbers >= 0; a failed sample is infinite, not NaN")
    return values
